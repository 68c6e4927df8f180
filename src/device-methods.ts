// What the hub may ask of `$edgeAgent`: its direct methods, plugged into supervisor, logs and status.
//
// Part of the composition root (device.ts).

import type { AdminDevice } from './admin/index.ts';
import { AgentMethods, type LogQuestion } from './agent-methods/index.ts';
import type { BrokerParts, ControlParts, IdentityParts, Stage } from './device-parts.ts';
import { agentLogPatternMsMax } from './limits.ts';
import { errorCode } from './model/errors.ts';
import type { JsonValue } from './model/json.ts';
import { compilePattern } from './platform/pattern.ts';
import { systemWebPut } from './platform/web-put.ts';

/** Makes the hub's calls of `$edgeAgent` find their answers. */
export function openAgentMethods(
  { ground, closing }: Stage,
  parts: IdentityParts & BrokerParts & ControlParts & { readonly device: AdminDevice },
): void {
  const { clock, entropy, log, metrics, recentLog, config } = ground;
  const { supervisor, agent, device, systemCalls, deviceId, hubHostname, trustPem } = parts;
  const wantedOf = (name: string): 'running' | 'stopped' =>
    agent.deployment()?.modules.find((module) => module.name === name)?.wanted ?? 'running';
  const methods = new AgentMethods(
    {
      modules: {
        list: () => supervisor.observe().map(({ name }) => ({ name, wanted: wantedOf(name) })),
        restart: (name) => supervisor.restart(name),
      },
      logs: { ofModule: (question) => written(device, question), own: () => recentLog.lines() },
      support: {
        documents: async () => ({
          'status.json': (await device.status()) as unknown as JsonValue,
          'config.json': device.config(),
          'version.json': device.version(),
          'metrics.json': metrics.snapshot() as unknown as JsonValue,
        }),
      },
      web: systemWebPut({ authoritiesPem: trustPem }),
      patterns: { compile: (source, options) => compilePattern(source, { ...options, msMax: agentLogPatternMsMax }) },
      clock,
      entropy,
      log: log.child('agent-methods'),
    },
    {
      deviceId,
      hubHostname,
      ...(config.provisioning.source === 'none' ? {} : { parentHostname: config.provisioning.gatewayHostname }),
    },
  );
  systemCalls.answerFor = { agent: methods };
  closing.push(() => methods.close());
}

/** A module that has not written yet has an empty log. */
async function* written(device: AdminDevice, question: LogQuestion): AsyncIterable<string> {
  try {
    yield* device.logs(question);
  } catch (error) {
    if (errorCode(error) !== 'ADMIN_NO_SUCH_MODULE') throw error;
  }
}
