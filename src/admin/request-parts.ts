// Small parts of requests and answers that the routes of the admin socket share.

import type { HttpResponse } from '../platform/http.ts';
import { AdminError } from './errors.ts';

const statusOk = 200;

/** Undefined when it is absent. Throws ADMIN_BAD_REQUEST. */
export function wholeNumber(query: URLSearchParams, name: string, max: number): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value <= max) return value;
  throw new AdminError('ADMIN_BAD_REQUEST', `${name}=${text} is not a whole number from 0 to ${max}.`);
}

export function json(value: unknown, status = statusOk): HttpResponse {
  return { status, body: JSON.stringify(value) };
}
