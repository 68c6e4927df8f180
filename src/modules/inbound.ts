// What comes to a module: input messages and direct methods, dispatched by name.
//
// A handler that fails never hurts the process or the connection. An input message is acknowledged in any case:
// delivering it again to code that cannot digest it would only stop what is behind it. A method's failure is
// its answer: 404 no such method, 400 a body that is no JSON, a ModuleRequestError's own status, 500 the rest.

import { methodPayloadBytesMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import { type JsonValue, parseJson } from '../model/json.ts';
import type { Log } from '../platform/log.ts';
import { decodePropertyBag } from '../protocol/iothub/property-bag.ts';
import type { IncomingMessage, MethodAnswer } from './contract.ts';
import { ModuleRequestError } from './errors.ts';

type InputHandler = (message: IncomingMessage) => void | Promise<void>;
type MethodHandler = (payload: JsonValue) => MethodAnswer | Promise<MethodAnswer>;

const statusBadRequest = 400;
const statusNotFound = 404;
const statusFailed = 500;

export class Inbound {
  readonly #log: Log;
  readonly #inputs = new Map<string, InputHandler>();
  readonly #methods = new Map<string, MethodHandler>();

  constructor(log: Log) {
    this.#log = log;
  }

  onInput(input: string, handler: InputHandler): void {
    this.#inputs.set(input, handler);
  }

  onMethod(method: string, handler: MethodHandler): void {
    this.#methods.set(method, handler);
  }

  async deliver({ input, bag }: { readonly input: string; readonly bag: string }, payload: Buffer): Promise<void> {
    const handler = this.#inputs.get(input);
    const decoded = decodePropertyBag(bag);
    if (handler === undefined) {
      this.#log.warn('a message for an input this module does not have', { input });
      return;
    }
    if (!decoded.ok) {
      this.#log.warn('a message with unreadable properties', { input, reason: decoded.reason });
      return;
    }
    try {
      await handler({ body: payload, properties: decoded.properties, system: decoded.system });
    } catch (error) {
      this.#log.error('an input message could not be handled', {
        input,
        code: errorCode(error),
        reason: errorMessage(error),
      });
    }
  }

  async call(method: string, payload: Buffer): Promise<{ readonly status: number; readonly body: Buffer }> {
    const { status, payload: answer } = await this.#answer(method, payload);
    const body = Buffer.from(JSON.stringify(answer));
    if (body.length <= methodPayloadBytesMax) return { status, body };
    const message = `The answer has ${body.length} bytes; ${methodPayloadBytesMax} are allowed.`;
    return { status: statusFailed, body: Buffer.from(JSON.stringify({ message })) };
  }

  async #answer(method: string, payload: Buffer): Promise<MethodAnswer> {
    const handler = this.#methods.get(method);
    if (handler === undefined) {
      const known = [...this.#methods.keys()].join(', ');
      return failure(statusNotFound, `There is no method '${method}'. There are: ${known || 'none'}.`);
    }
    const text = payload.toString('utf8').trim();
    const parsed = text === '' ? ({ ok: true, value: null } as const) : parseJson(text);
    if (!parsed.ok) return failure(statusBadRequest, `The payload is no JSON: ${parsed.reason}.`);
    try {
      return await handler(parsed.value);
    } catch (error) {
      if (error instanceof ModuleRequestError) return failure(error.status, error.message);
      this.#log.error('a method failed', { method, code: errorCode(error), reason: errorMessage(error) });
      return failure(statusFailed, errorMessage(error));
    }
  }
}

function failure(status: number, message: string): MethodAnswer {
  return { status, payload: { message } };
}
