// Files for a container of Azure's blob storage, or anything else that takes its requests: named and sent as Azure's
// agent does it.
//
//   https://account.blob.core.windows.net/container?sv=…&sig=…        the address that the method brings
//     + hub.example/gw1/modbus-2026-11-21--09-12-44.log.gz            {iothub}/{device}/{id}-{UTC}.{extension}
//   one block or less   PUT blob                 x-ms-blob-type: BlockBlob
//   more                PUT blob&comp=block&blockid=…   for each block, then PUT blob&comp=blocklist
//
// Memory is one block, whatever the size. The query is the secret: it is in no log and in no error.
// A refusal (403, 404) stays one; when nobody answers, or says 5xx, a request is repeated `agentUploadRetries` times.

import { agentUploadBlockBytes, agentUploadRetries, agentUploadRetryMs } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import { pause } from '../model/pause.ts';
import type { Clock } from '../platform/clock.ts';
import { AgentMethodError } from './errors.ts';
import type { MethodWeb } from './ports.ts';

export interface BlobContent {
  readonly name: string;
  readonly contentType: string;
  readonly contentEncoding?: string;
  readonly bytes: AsyncIterable<Buffer>;
}

export interface BlobPorts {
  readonly web: MethodWeb;
  readonly clock: Clock;
}

const serviceVersion = '2019-12-12';
const blockIdDigits = 8;
const okMin = 200;
const okMax = 299;
const serverError = 500;
const retriedStatuses = [408, 429];
const shownCharactersMax = 300;

/** `hub.example/gw1/modbus-2026-11-21--09-12-44.log` */
export function blobName(
  id: string,
  options: { readonly iothub: string; readonly device: string; readonly nowMs: number; readonly extension: string },
): string {
  const { iothub, device, nowMs, extension } = options;
  const stamp = new Date(nowMs).toISOString().slice(0, 19).replace('T', '--').replaceAll(':', '-');
  return `${iothub}/${device}/${id}-${stamp}.${extension}`;
}

export class BlobContainer {
  readonly #ports: BlobPorts;
  readonly #url: URL;
  readonly #signal: AbortSignal;

  /** Throws AGENT_METHODS_UPLOAD_FAILED when the address is none. */
  constructor(ports: BlobPorts, options: { readonly sasUrl: string; readonly signal: AbortSignal }) {
    this.#ports = ports;
    this.#signal = options.signal;
    if (!URL.canParse(options.sasUrl))
      throw new AgentMethodError('AGENT_METHODS_UPLOAD_FAILED', 'sasUrl is no https address of a container.');
    this.#url = new URL(options.sasUrl);
  }

  /** Rejects AGENT_METHODS_UPLOAD_FAILED. */
  async put({ name, contentType, contentEncoding, bytes }: BlobContent): Promise<void> {
    const described = {
      'x-ms-blob-content-type': contentType,
      ...(contentEncoding === undefined ? {} : { 'x-ms-blob-content-encoding': contentEncoding }),
    };
    const ids: string[] = [];
    let pending: Buffer | undefined;
    for await (const block of blocksOf(bytes)) {
      if (pending !== undefined) ids.push(await this.#putBlock(name, pending, ids.length));
      pending = block;
    }
    const last = pending ?? Buffer.alloc(0);
    if (ids.length === 0) {
      const headers = { ...described, 'content-type': contentType, 'x-ms-blob-type': 'BlockBlob' };
      return await this.#send({ name, query: {}, headers, body: last });
    }
    ids.push(await this.#putBlock(name, last, ids.length));
    const list = ids.map((id) => `<Latest>${id}</Latest>`).join('');
    await this.#send({
      name,
      query: { comp: 'blocklist' },
      headers: { ...described, 'content-type': 'application/xml' },
      body: Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${list}</BlockList>`),
    });
  }

  async #putBlock(name: string, body: Buffer, index: number): Promise<string> {
    const id = Buffer.from(String(index).padStart(blockIdDigits, '0')).toString('base64');
    await this.#send({ name, query: { comp: 'block', blockid: id }, headers: {}, body });
    return id;
  }

  async #send(request: {
    readonly name: string;
    readonly query: Readonly<Record<string, string>>;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Uint8Array;
  }): Promise<void> {
    const url = this.#blobUrl(request.name, request.query);
    const headers = { 'x-ms-version': serviceVersion, ...request.headers };
    for (let attempt = 0; ; attempt++) {
      const failure = await this.#attempt({ url, headers, body: request.body });
      if (failure === undefined) return;
      if (!failure.retryable || attempt >= agentUploadRetries || this.#signal.aborted) {
        throw new AgentMethodError(
          'AGENT_METHODS_UPLOAD_FAILED',
          `${request.name} could not be sent to ${this.#url.host}${this.#url.pathname}: ${failure.reason}`,
          failure.cause,
        );
      }
      await pause(this.#ports.clock, agentUploadRetryMs * 2 ** attempt, this.#signal);
    }
  }

  async #attempt(upload: {
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Uint8Array;
  }): Promise<{ readonly retryable: boolean; readonly reason: string; readonly cause?: unknown } | undefined> {
    try {
      const { status, text } = await this.#ports.web.put({ ...upload, signal: this.#signal });
      if (status >= okMin && status <= okMax) return undefined;
      const said = text.replace(/\s+/g, ' ').trim().slice(0, shownCharactersMax);
      return {
        retryable: status >= serverError || retriedStatuses.includes(status),
        reason: `status ${status}${said === '' ? '' : `, ${said}`}. ${mendOf(status)}`,
      };
    } catch (cause) {
      return { retryable: true, reason: errorMessage(cause), cause };
    }
  }

  #blobUrl(name: string, query: Readonly<Record<string, string>>): string {
    const url = new URL(this.#url);
    const path = name.split('/').map(encodeURIComponent).join('/');
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/${path}`;
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    return url.href;
  }
}

function mendOf(status: number): string {
  switch (status) {
    case 401:
    case 403:
      return 'The address must allow writing, and its signature must not have ended.';
    case 404:
      return 'There is no such container.';
    default:
      return 'See what the storage says.';
  }
}

/** Pieces of `agentUploadBlockBytes`, but for the last one. */
async function* blocksOf(bytes: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of bytes) {
    let rest = piece;
    while (length + rest.length >= agentUploadBlockBytes) {
      const part = rest.subarray(0, agentUploadBlockBytes - length);
      yield Buffer.concat([...pieces, part]);
      rest = rest.subarray(part.length);
      pieces = [];
      length = 0;
    }
    if (rest.length > 0) pieces.push(rest);
    length += rest.length;
  }
  if (length > 0) yield Buffer.concat(pieces);
}
