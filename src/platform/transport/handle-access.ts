// Access to Node's internal stream handles, and the check that they are as this program knows them.
//
// net.Socket costs a connection 3 to 6 KB and every read and write a walk through two stream machines. The handle
// below it does without both. It is private to Node: process.binding() gives its companions, and their shape may
// change with any release. Therefore handleAccess() looks at every name that handle-connection.ts will touch, on a
// handle of its own, and whoever gets undefined uses net.Socket instead (socket-connection.ts), which is slower and
// right in the same way. Known to fit: Node 20.11 to 24.

/** node/src/stream_base.cc: a libuv stream as JavaScript sees it. */
export interface StreamHandle {
  /** Called with the handle as `this`; how much was read stands in StreamState. */
  onread: (this: StreamHandle) => void;
  /** Ours: what `onread` finds by the handle. */
  weirOwner?: unknown;
  readonly fd: number;
  /** Every read goes into `buffer` from now on. */
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  /** Tries at once; what the kernel does not take is sent later, and StreamState says so. */
  writeBuffer(request: WriteRequest, buffer: Uint8Array): number;
  shutdown(request: ShutdownRequest): number;
  close(done?: () => void): void;
  /** TCP only. */
  getpeername?(out: { address?: string; port?: number }): number;
  setNoDelay?(enable: boolean): number;
}

export interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void;
  /** Ours: the handle's owner and what is under way for it. */
  weirOwner?: unknown;
  weirBytes?: number;
  /** Node's: keeps the bytes alive. */
  buffer?: Uint8Array | undefined;
}

export interface ShutdownRequest {
  oncomplete: (this: ShutdownRequest, status: number) => void;
  weirOwner?: unknown;
}

/** node/src/env.h: how the last call on any handle went. */
export interface HandleAccess {
  readonly WriteWrap: new () => WriteRequest;
  readonly ShutdownWrap: new () => ShutdownRequest;
  readonly state: Int32Array;
  /** Places in `state`. */
  readonly readBytesAt: number;
  readonly lastWriteAsyncAt: number;
}

/** A listening handle, as net.Server has it. */
export interface ServerHandle {
  onconnection: (status: number, handle: StreamHandle | undefined) => void;
  setNoDelay?(enable: boolean): number;
}

interface StreamBinding {
  readonly WriteWrap?: new () => WriteRequest;
  readonly ShutdownWrap?: new () => ShutdownRequest;
  readonly streamBaseState?: Int32Array;
  readonly kReadBytesOrError?: number;
  readonly kLastWriteWasAsync?: number;
}

const streamMethods = ['useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'shutdown', 'close'] as const;

/** Undefined where Node's handles are not as known. */
export function handleAccess(): HandleAccess | undefined {
  try {
    const { binding } = process as unknown as { readonly binding?: (name: string) => unknown };
    const stream = binding?.('stream_wrap') as StreamBinding | undefined;
    const tcp = binding?.('tcp_wrap') as { readonly TCP?: { readonly prototype: object } } | undefined;
    const pipe = binding?.('pipe_wrap') as { readonly Pipe?: { readonly prototype: object } } | undefined;
    if (stream === undefined || !isStream(tcp?.TCP?.prototype) || !isStream(pipe?.Pipe?.prototype)) return undefined;
    const { WriteWrap, ShutdownWrap, streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync } = stream;
    if (typeof WriteWrap !== 'function' || typeof ShutdownWrap !== 'function') return undefined;
    if (!(state instanceof Int32Array)) return undefined;
    if (typeof kReadBytesOrError !== 'number' || typeof kLastWriteWasAsync !== 'number') return undefined;
    return { WriteWrap, ShutdownWrap, state, readBytesAt: kReadBytesOrError, lastWriteAsyncAt: kLastWriteWasAsync };
  } catch {
    return undefined;
  }
}

/** Without calling a getter: they want a living handle. */
function isStream(prototype: object | undefined): boolean {
  if (prototype === undefined) return false;
  return streamMethods.every((name) => {
    for (let at: object | null = prototype; at !== null; at = Object.getPrototypeOf(at) as object | null) {
      const found = Object.getOwnPropertyDescriptor(at, name);
      if (found !== undefined) return typeof found.value === 'function';
    }
    return false;
  });
}

/** `127.0.0.1:40312`; `?:0` once the peer is gone. */
export function peerNameOf(handle: StreamHandle): string {
  const name: { address?: string; port?: number } = {};
  handle.getpeername?.(name);
  return `${name.address ?? '?'}:${name.port ?? 0}`;
}

/** The handle of a listening server, when it is one that can be taken over. */
export function serverHandle(server: object): ServerHandle | undefined {
  const handle = (server as { readonly _handle?: ServerHandle | null })._handle;
  return typeof handle?.onconnection === 'function' ? handle : undefined;
}
