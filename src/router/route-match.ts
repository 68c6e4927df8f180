// Which messages a route takes. Pure.
//
// As in IoT Edge: a source is trimmed, loses its stars and then its slashes at the end, and gets one slash; it
// matches a message whose own source begins with it, without regard to case. A star anywhere else is an ordinary
// character, which no message source contains. What only weir produces is not part of everything (`/`).

import { isTakenByNameOnly } from '../model/message.ts';

/** `/messages/modules/X/*` → `/messages/modules/x/`. */
export function normaliseSource(source: string): string {
  return `${source.trim().replace(/\*+$/, '').replace(/\/+$/, '')}/`.toLowerCase();
}

/** `messageSource` as model/message.ts gives it; `sourcePrefix` normalised. */
export function sourceMatches(sourcePrefix: string, messageSource: string): boolean {
  if (sourcePrefix === '/' && isTakenByNameOnly(messageSource)) return false;
  return messageSource.toLowerCase().startsWith(sourcePrefix);
}
