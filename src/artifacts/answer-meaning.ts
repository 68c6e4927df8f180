// What a server's answer to a request for an artefact means: a pure decision by status and headers.
//
//   200 ─ whole ─► from the first byte     206 ─ rest ─► from the offset, when it says so, else restart
//   301 302 303 307 308 ─ elsewhere        416 ─ restart: what we have is more than there is
//   408 425 429 5xx ─ later, after Retry-After                everything else ─ refused
//
// A size that differs from the declared one is told before a byte is read.

import { artifactRetryAfterMsMax } from '../limits.ts';

export type Meaning =
  | { readonly kind: 'whole' | 'rest' | 'restart' }
  | { readonly kind: 'elsewhere'; readonly location: string }
  | { readonly kind: 'later'; readonly afterMs: number }
  | { readonly kind: 'refused' }
  | { readonly kind: 'size wrong'; readonly bytes: number };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const transient: ReadonlySet<number> = new Set([408, 425, 429]);
const statusOk = 200;
const statusPartial = 206;
const statusRangeBad = 416;
const serverErrors = 500;
const msPerSecond = 1000;

export function meaningOf(
  { status, headers }: Answer,
  want: { readonly offset: number; readonly sizeBytes: number },
): Meaning {
  if (status === statusOk) return wholeOr(headers['content-length'], want.sizeBytes);
  if (status === statusPartial) return restOr(headers['content-range'], want);
  if (status === statusRangeBad) return { kind: 'restart' };
  const { location } = headers;
  if (redirects.has(status)) return location === undefined ? { kind: 'refused' } : { kind: 'elsewhere', location };
  if (transient.has(status) || status >= serverErrors)
    return { kind: 'later', afterMs: afterMs(headers['retry-after']) };
  return { kind: 'refused' };
}

function wholeOr(length: string | undefined, sizeBytes: number): Meaning {
  const bytes = countOf(length);
  return bytes === undefined || bytes === sizeBytes ? { kind: 'whole' } : { kind: 'size wrong', bytes };
}

/** RFC 9110 §14.4: `bytes 100-199/200`, or `*` for what the server does not know. */
function restOr(range: string | undefined, want: { readonly offset: number; readonly sizeBytes: number }): Meaning {
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range?.trim() ?? '') ?? [];
  if (Number(first) !== want.offset) return { kind: 'restart' };
  const bytes = countOf(total);
  return bytes === undefined || bytes === want.sizeBytes ? { kind: 'rest' } : { kind: 'size wrong', bytes };
}

/** RFC 9110 §10.2.3, the form in seconds; who gives a date is tried again by our own pauses. */
function afterMs(text: string | undefined): number {
  const seconds = countOf(text);
  return seconds === undefined ? 0 : Math.min(seconds * msPerSecond, artifactRetryAfterMsMax);
}

function countOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The tag by which the rest may be asked for; undefined when it is weak or none (RFC 9110 §13.1.5). */
export function strongTag(etag: string | undefined): string | undefined {
  return etag !== undefined && /^"[^"]{1,256}"$/.test(etag) ? etag : undefined;
}
