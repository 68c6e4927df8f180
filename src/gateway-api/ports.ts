// What the gateway's HTTP interface needs from outside: the say about who a token belongs to, and the way to a callee.
//
// The authenticator is the broker's, so that whoever may connect may call, and nobody else.

import type { Identity } from '../model/address.ts';
import type { JsonValue } from '../model/json.ts';

export interface Call {
  readonly name: string;
  readonly payload: JsonValue;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
}

export interface CallAnswer {
  readonly status: number;
  readonly payload: JsonValue;
}

/** Undefined: the token is the identity's; else why it is not, for the log. */
export type TokenCheck = (identity: Identity, token: string) => Promise<string | undefined>;

/** Rejects with the codes of the device protocol, IOTHUB_…. */
export type Invoke = (callee: Identity, call: Call) => Promise<CallAnswer>;
