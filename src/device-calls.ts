// Direct methods and messages from the cloud on the gateway: from the hub and from modules here to whoever is connected.
//
//   hub ══ link ─ onMethod ──────┐
//   module ─ HTTPS ─ GatewayApi ─┴─► front.invokeMethod() ─► module or leaf device
//   hub ══ link ─ onDevicebound ───► front.deliverToDevice() ─► leaf device
//
// The system modules are this process: `$edgeAgent`'s methods are agent-methods/, `$edgeHub`'s are here. Only the hub may
// call them, since whoever restarts modules and reads their logs owns the gateway; a module here gets an answer to ping.
//
// Part of the composition root (device.ts).

import type { AgentMethods } from './agent-methods/index.ts';
import type { IotHubFront } from './broker/index.ts';
import type { HubParts, IdentityParts, Stage } from './device-parts.ts';
import { type Call, type CallAnswer, GatewayApi } from './gateway-api/index.ts';
import type { LeafDevices, ModuleAuthenticator } from './identity/index.ts';
import { gatewayApiBodyBytesMax, gatewayApiConnectionsMax, gatewayApiRequestMsMax } from './limits.ts';
import { edgeAgentId, edgeHubId, type Identity, identityKey } from './model/address.ts';
import { isJsonObject } from './model/json.ts';
import { HttpAnswerer } from './platform/http-answerer.ts';
import { formatUsername } from './protocol/iothub/username.ts';

type Invoke = (callee: Identity, call: Call) => Promise<CallAnswer>;

/** Who answers for `$edgeAgent`, as soon as there is somebody. */
export interface SystemCalls {
  answerFor: { readonly agent: AgentMethods | undefined };
}

export interface Calls {
  readonly http: HttpAnswerer;
  readonly systemCalls: SystemCalls;
}

/** Of a hub that says none: IoT Hub's own time for an answer. */
const usualPatience = { connectTimeoutMs: 0, timeoutMs: 30_000 };
const ok = 200;
const badRequest = 400;
const refreshMethod = 'RefreshDeviceScopeIdentityCache';

/** What answers HTTP beside MQTT over WebSocket; and the link's calls and messages find their way. */
export function openCalls(
  { ground, closing }: Stage,
  parts: IdentityParts & HubParts & { readonly front: IotHubFront; readonly authenticator: ModuleAuthenticator },
): Calls {
  const { clock, entropy, log, metrics } = ground;
  const { deviceId, hubHostname, hub, front, authenticator } = parts;
  const systemCalls: SystemCalls = { answerFor: { agent: undefined } };
  const invoke: Invoke = async (callee, call) =>
    isSystemModule(deviceId, callee) ? unknownMethod(call.name, ['ping']) : front.invokeMethod(callee, call);
  const invokeFromHub: Invoke = async (callee, call) => {
    const { agent } = systemCalls.answerFor;
    if (!isSystemModule(deviceId, callee)) return front.invokeMethod(callee, call);
    if (callee.moduleId === edgeHubId) return edgeHubAnswer(call, hub?.leafs);
    return agent === undefined ? unknownMethod(call.name, ['ping']) : agent.invoke(call);
  };
  if (hub !== undefined) {
    const { link } = hub;
    link.onMethod(({ identity, name, payload, patience = usualPatience }) =>
      invokeFromHub(identity, { name, payload, ...patience }),
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
  return { http: answerer, systemCalls };
}

function isSystemModule(ownId: string, { deviceId, moduleId }: Identity): boolean {
  return deviceId === ownId && (moduleId === edgeAgentId || moduleId === edgeHubId);
}

/** `RefreshDeviceScopeIdentityCache` with `{"deviceIds":[…]}`: who is behind this gateway is asked again, all of them. */
async function edgeHubAnswer(
  { name, payload }: Call,
  leafs: Pick<LeafDevices, 'refresh'> | undefined,
): Promise<CallAnswer> {
  if (name.toLowerCase() !== refreshMethod.toLowerCase()) return unknownMethod(name, ['ping', refreshMethod]);
  const ids = isJsonObject(payload) ? payload['deviceIds'] : undefined;
  if (!Array.isArray(ids))
    return { status: badRequest, payload: { message: 'The payload must be {"deviceIds":["a-device"]}.' } };
  await leafs?.refresh();
  return { status: ok, payload: null };
}

/** Everybody answers ping; the rest is what Azure's agent says to what it does not know. */
function unknownMethod(name: string, known: readonly string[]): CallAnswer {
  if (name.toLowerCase() === 'ping') return { status: ok, payload: null };
  return {
    status: badRequest,
    payload: { message: `Command '${name}' not found. The supported commands are - ${known.join(',')}` },
  };
}
