// The check of the container engine: does one answer on its socket, and does anybody here need one?

import { errorMessage } from '../../model/errors.ts';
import { isJsonObject, parseJson } from '../../model/json.ts';
import { type Check, type CheckFacts, fail, ok, skip, type Verdict, warn } from './check.ts';

export const engineCheck: Check = {
  id: 'container-engine',
  group: 'runtime',
  title: 'the container engine answers',
  async run(facts): Promise<Verdict> {
    const { config } = facts.reading;
    if (config === undefined) return skip('there is no usable configuration');
    const { sockets } = config.containers;
    const obstacles: string[] = [];
    for (const socket of sockets) {
      const answer = await ask(facts, socket);
      if ('engine' in answer) return ok(`${answer.engine}, ${socket}`);
      obstacles.push(answer.obstacle);
    }
    const cause = obstacles.join('\n');
    const mend =
      'apt-get install podman runc, systemctl enable --now podman.socket; or name the socket: moby_runtime.uri.';
    const waiting = 'status' in facts.daemon ? facts.daemon.status.modules.filter(isContainer) : [];
    if (waiting.length > 0) return fail(`${waiting.map(({ name }) => name).join(', ')} need one\n${cause}`, mend);
    // Named by hand, so it is meant to be there.
    if (sockets.length === 1) return warn(cause, mend);
    return skip('there is none; modules of type "docker" need one');
  },
};

function isContainer({ kind }: { readonly kind?: string | undefined }): boolean {
  return kind === 'container';
}

async function ask(
  { disk, askSocket }: CheckFacts,
  socket: string,
): Promise<{ readonly engine: string } | { readonly obstacle: string }> {
  try {
    if ((await disk.facts('check:engine', socket)) === undefined) return { obstacle: `${socket} does not exist` };
    const answer = parseJson(await askSocket(socket, '/version'));
    const { Components: components, Version: version } = answer.ok && isJsonObject(answer.value) ? answer.value : {};
    if (typeof version !== 'string') return { obstacle: `what answers on ${socket} is no container engine` };
    const isPodman = JSON.stringify(components ?? '').includes('Podman');
    return { engine: `${isPodman ? 'podman' : 'docker'} ${version}` };
  } catch (error) {
    return { obstacle: errorMessage(error) };
  }
}
