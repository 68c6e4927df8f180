// The commands' way to the running hub: its service API over the unix socket, errors as one clear message.
//
// Nobody answering is the commonest failure, so it says which socket was tried and which command starts the hub.
// What the hub refuses keeps its own code and message; a list of problems is written out line by line.

import { errorCode, WeirError } from '../../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import type { HttpCall } from '../../platform/http.ts';
import type { CliContext, GlobalOptions } from '../context.ts';

export interface HubClientOptions extends GlobalOptions {
  /** The service API's socket, when it is not `<run-dir>/hub.sock`. */
  readonly hubSocket: string | undefined;
}

/** What `GET /status` tells about where devices connect. */
export interface HubAddress {
  readonly hostname: string;
  readonly mqttPort: number;
  readonly caPath: string;
}

export const hubRunDir = '/run/weir-hub';
export const hubDataDir = '/var/lib/weir-hub';

/** CLI_HUB_NOT_RUNNING, CLI_HUB_ANSWER, or the code the hub gave. */
export class HubCallError extends WeirError {}

export function hubSocketPath(options: HubClientOptions): string {
  return options.hubSocket ?? `${options.runDir ?? hubRunDir}/hub.sock`;
}

export class HubClient {
  readonly #context: CliContext;
  readonly #socketPath: string;

  constructor(context: CliContext, options: HubClientOptions) {
    this.#context = context;
    this.#socketPath = hubSocketPath(options);
  }

  /** The answer's JSON; null when it has no body. `path` segments are the caller's to encode. */
  call(method: string, path: string, body?: string): Promise<JsonValue> {
    return this.#call({ method, path, ...(body === undefined ? {} : { body }) });
  }

  /** As object(), with headers of the request. */
  async objectWith(request: Omit<HttpCall, 'socketPath'>): Promise<JsonObject> {
    const value = await this.#call(request);
    return isJsonObject(value) ? value : {};
  }

  async #call(request: Omit<HttpCall, 'socketPath'>): Promise<JsonValue> {
    const answer = await this.#reach(() => this.#context.http.call({ socketPath: this.#socketPath, ...request }));
    if (answer.status >= firstErrorStatus) throw refusal(answer.status, answer.body);
    if (answer.body === '') return null;
    const parsed = parseJson(answer.body);
    if (!parsed.ok)
      throw new HubCallError({
        code: 'CLI_HUB_ANSWER',
        message: `The hub's answer is not JSON: ${parsed.reason}. Is ${this.#socketPath} really a hub?`,
      });
    return parsed.value;
  }

  /** Changes what is there already, whoever changed it last. */
  async change(path: string, body: string): Promise<void> {
    await this.#call({ method: 'PUT', path, body, headers: { 'if-match': '*' } });
  }

  /** The same for answers that are objects. */
  async object(method: string, path: string, body?: string): Promise<JsonObject> {
    const value = await this.call(method, path, body);
    return isJsonObject(value) ? value : {};
  }

  async objects(path: string): Promise<readonly JsonObject[]> {
    const value = await this.call('GET', path);
    return Array.isArray(value) ? value.filter((item): item is JsonObject => isJsonObject(item)) : [];
  }

  /** The body of a streamed answer, piece by piece. */
  async stream(path: string, signal: AbortSignal): Promise<AsyncIterable<string>> {
    const answer = await this.#reach(() =>
      this.#context.http.stream({ socketPath: this.#socketPath, method: 'GET', path, signal }),
    );
    if (answer.status < firstErrorStatus) return answer.body;
    let text = '';
    for await (const piece of answer.body) text += piece;
    throw refusal(answer.status, text);
  }

  async address(): Promise<HubAddress> {
    const status = await this.object('GET', '/status');
    return {
      hostname: String(status['hostname']),
      mqttPort: Number(status['mqttPort']),
      caPath: String(status['caPath']),
    };
  }

  async #reach<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (errorCode(cause) !== 'PLATFORM_HTTP_FAILED') throw cause;
      throw new HubCallError({
        code: 'CLI_HUB_NOT_RUNNING',
        message: `No hub answers on ${this.#socketPath}. Start one with: weir hub start (or name another with --run-dir or --hub-socket).`,
        retryable: true,
        cause,
      });
    }
  }
}

const firstErrorStatus = 400;

function refusal(status: number, body: string): HubCallError {
  const parsed = parseJson(body);
  const fields = parsed.ok && isJsonObject(parsed.value) ? parsed.value : {};
  const message = String(fields['Message'] ?? body);
  const text = message.startsWith('ErrorCode:') ? message.slice(message.indexOf(';') + 1) : message;
  return new HubCallError({
    code: String(fields['code'] ?? 'CLI_HUB_ANSWER'),
    message: problemText(fields['problems'], text),
    fields: { status },
  });
}

/** The sentence before the first problem, then every problem on a line of its own. */
function problemText(problems: JsonValue | undefined, message: string): string {
  if (!Array.isArray(problems) || problems.length === 0) return message;
  const lines = problems
    .filter((problem): problem is JsonObject => isJsonObject(problem))
    .map((problem) => `\n  ${String(problem['path'])}: ${String(problem['message'])}`);
  return `${message.split(': $')[0]}:${lines.join('')}\n `;
}
