// A receipt: what the hub says it has taken of a queue file. It lies beside that file, with `.receipt` behind its name.
//
//   weir queue receipt 1
//   {"device":…,"epoch":…,"stream":…,"queue":…,"priority":…,"live":…,"after":…,"last":…,"messages":…,"repeated":…,"takenMs":…,"salt":…}
//   hmac-sha256 <base64>
//
// Text, so that a person can read it. The third line signs the first two, line ends included, with a key made of the
// device's key and the salt (identity/seal.ts): only the hub and the device can make it.
//
// It says: the hub holds everything of `stream` that waited with an offset in (after, last].

import type { Lane } from '../../model/lane.ts';
import { count, FieldFault, lane, readObject, stream, text } from './fields.ts';

const title = 'weir queue receipt ';
const receiptVersion = 1;
const signatureTitle = 'hmac-sha256 ';
const base64Pattern = /^[A-Za-z0-9+/]+={0,2}$/;

export interface ReceiptFacts extends Lane {
  readonly deviceId: string;
  readonly epoch: string;
  readonly stream: string;
  readonly after: number;
  readonly last: number;
  readonly messages: number;
  /** Of those, how many the hub had already. */
  readonly repeated: number;
  /** By the hub's clock, milliseconds since 1970 UTC. */
  readonly takenMs: number;
}

export interface Receipt {
  readonly facts: ReceiptFacts;
  readonly salt: Buffer;
  /** What the signature is of. */
  readonly signed: string;
  readonly signature: Buffer;
}

/** `sign` answers the signature of the text it is given. */
export function formatReceipt(
  { deviceId, ...facts }: ReceiptFacts,
  { salt, sign }: { readonly salt: Uint8Array; readonly sign: (signed: string) => Uint8Array },
): string {
  const json = JSON.stringify({ device: deviceId, ...facts, salt: Buffer.from(salt).toString('base64') });
  const signed = `${title}${receiptVersion}\n${json}\n`;
  return `${signed}${signatureTitle}${Buffer.from(sign(signed)).toString('base64')}\n`;
}

/** Faults as of queue files: `foreign` (no receipt), `newer`, `torn`, `damaged`. The signature is not judged here. */
export function parseReceipt(
  content: string,
):
  | ({ readonly ok: true } & Receipt)
  | { readonly ok: false; readonly fault: 'foreign' | 'newer' | 'torn' | 'damaged'; readonly reason: string } {
  const [first = '', json = '', last = '', ...rest] = content.split('\n');
  const version = Number(/^weir queue receipt (\d{1,9})$/.exec(first)?.[1]);
  if (content === '') return { ok: false, fault: 'torn', reason: 'it is empty' };
  if (!(version >= 1)) return { ok: false, fault: 'foreign', reason: 'it does not begin as one' };
  if (version > receiptVersion) return { ok: false, fault: 'newer', reason: `it is of version ${version}` };
  const signature = last.startsWith(signatureTitle) ? last.slice(signatureTitle.length) : '';
  if (rest.length === 0) return { ok: false, fault: 'torn', reason: 'its last line is not whole' };
  try {
    if (rest.length > 1 || rest[0] !== '' || !base64Pattern.test(signature))
      throw new FieldFault('its signature is no such line');
    const object = readObject(json);
    const facts: ReceiptFacts = {
      ...lane(object),
      deviceId: text(object, 'device'),
      epoch: stream(object, 'epoch'),
      stream: stream(object, 'stream'),
      after: count(object, 'after'),
      last: count(object, 'last', 1),
      messages: count(object, 'messages', 1),
      repeated: count(object, 'repeated'),
      takenMs: count(object, 'takenMs'),
    };
    const salt = Buffer.from(text(object, 'salt'), 'base64');
    return { ok: true, facts, salt, signed: `${first}\n${json}\n`, signature: Buffer.from(signature, 'base64') };
  } catch (error) {
    if (!(error instanceof FieldFault)) throw error;
    return { ok: false, fault: 'damaged', reason: error.message };
  }
}
