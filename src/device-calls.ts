// Direct methods and messages from the cloud on the gateway: from the hub and from modules here to whoever is connected.
//
//   hub ══ link ─ onMethod ──────┐
//   module ─ HTTPS ─ GatewayApi ─┴─► front.invokeMethod() ─► module or leaf device
//   hub ══ link ─ onDevicebound ───► front.deliverToDevice() ─► leaf device
//
// Part of the composition root (device.ts).

import type { IotHubFront } from './broker/index.ts';
import type { HubParts, IdentityParts, Stage } from './device-parts.ts';
import { type Call, type CallAnswer, GatewayApi } from './gateway-api/index.ts';
import type { ModuleAuthenticator } from './identity/index.ts';
import { gatewayApiBodyBytesMax, gatewayApiConnectionsMax, gatewayApiRequestMsMax } from './limits.ts';
import { edgeAgentId, edgeHubId, type Identity, identityKey } from './model/address.ts';
import { HttpAnswerer } from './platform/http-answerer.ts';
import { formatUsername } from './protocol/iothub/username.ts';

type Invoke = (callee: Identity, call: Call) => Promise<CallAnswer>;

/** Of a hub that says none: IoT Hub's own time for an answer. */
const usualPatience = { connectTimeoutMs: 0, timeoutMs: 30_000 };
const ok = 200;
const badRequest = 400;

/** What answers HTTP beside MQTT over WebSocket; and the link's calls and messages find their way. */
export function openCalls(
  { ground, closing }: Stage,
  parts: IdentityParts & HubParts & { readonly front: IotHubFront; readonly authenticator: ModuleAuthenticator },
): HttpAnswerer {
  const { clock, entropy, log, metrics } = ground;
  const { deviceId, hubHostname, hub, front, authenticator } = parts;
  const invoke: Invoke = async (callee, call) =>
    isSystemModule(deviceId, callee) ? systemAnswer(call.name) : front.invokeMethod(callee, call);
  if (hub !== undefined) {
    const { link } = hub;
    link.onMethod(({ identity, name, payload, patience = usualPatience }) =>
      invoke(identity, { name, payload, ...patience }),
    );
    link.onDevicebound((device, message) => front.deliverToDevice(device, message));
    front.onDevicebound((device) => link.listenFor(device, front.isListeningToCloud(device)));
  }
  const api = new GatewayApi(
    {
      checkToken: async (identity, token) => {
        const claim = {
          clientId: identityKey(identity),
          username: formatUsername(hubHostname, identity),
          password: Buffer.from(token),
        };
        const verdict = await authenticator.authenticate(claim);
        return verdict.admitted ? undefined : verdict.detail;
      },
      invoke,
      clock,
      entropy,
      log: log.child('gateway-api'),
      metrics,
    },
    { deviceId },
  );
  const answerer = new HttpAnswerer({
    handler: (request) => api.handle(request),
    bodyBytesMax: gatewayApiBodyBytesMax,
    connectionsMax: gatewayApiConnectionsMax,
    requestMsMax: gatewayApiRequestMsMax,
  });
  closing.push(async () => answerer.close());
  return answerer;
}

function isSystemModule(ownId: string, { deviceId, moduleId }: Identity): boolean {
  return deviceId === ownId && (moduleId === edgeAgentId || moduleId === edgeHubId);
}

/** The system modules are this process; what they know is what Azure's agent answers to everything it does not know. */
function systemAnswer(name: string): CallAnswer {
  if (name.toLowerCase() === 'ping') return { status: ok, payload: null };
  return {
    status: badRequest,
    payload: { message: `Command '${name}' not found. The supported commands are - ping` },
  };
}
