// Receives datagrams on a unix socket, as a service manager does: a small program, because Node has no such sockets.

import { Program, until } from './world/program.ts';

export interface Datagram {
  /** Of the sender, as the kernel says. */
  readonly pid: number;
  readonly text: string;
}

const receiver = `
import json, socket, struct, sys
name = sys.argv[1]
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
server.bind("\\0" + name[1:] if name.startswith("@") else name)
print("bound", flush=True)
while True:
    text, control, _, _ = server.recvmsg(8192, 256)
    pid = struct.unpack("iII", control[0][2])[0]
    print(json.dumps({"pid": pid, "text": text.decode()}), flush=True)
`;

const patienceMs = 180_000;

export class DatagramReceiver {
  readonly #program: Program;

  /** `name`: a path, or an abstract name that begins with @. */
  constructor(name: string) {
    this.#program = new Program(['python3', '-c', receiver, name], {});
  }

  async start(): Promise<void> {
    await this.#program.line('bound', patienceMs);
  }

  received(): readonly Datagram[] {
    return this.#program.stdout
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Datagram);
  }

  /** The first datagram that holds the text, from number `from` on. */
  next(mark: string, from = 0): Promise<Datagram> {
    return until(`a datagram with ${mark}`, patienceMs, () =>
      this.received()
        .slice(from)
        .find(({ text }) => text.includes(mark)),
    );
  }

  close(): Promise<void> {
    return this.#program.end('SIGKILL');
  }
}
