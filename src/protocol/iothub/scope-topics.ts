// The topics by which a gateway of weir gets its scope from a hub of weir: text ⇄ meaning. Azure has none of them; its
// runtime asks over HTTPS.
//
//   hub → gateway    $iothub/scope/changed/?$version={v}                when the gateway subscribes, and at each change
//   gateway → hub    $iothub/scope/GET/?$rid={r}[&$after={link}]        one page; link: continuationLink of the last one
//   hub → gateway    $iothub/scope/res/{status}/?$rid={r}               the page, or the error
//
// A gateway asks only a hub that has told it a version: it says nothing to a hub that would not understand.
// `$after` is percent-encoded. Bodies are JSON (hub/scope.ts); the news has none.

export type ScopeNews =
  | { readonly kind: 'scope-changed'; readonly version: string }
  | { readonly kind: 'scope-response'; readonly status: number; readonly rid: string };

export interface ScopeRequest {
  readonly rid: string;
  readonly after: string | undefined;
}

export const scopeFilter = '$iothub/scope/#';

const requestPattern = /^\$iothub\/scope\/GET\/\?\$rid=([^&]+)(?:&\$after=([^&]+))?$/;
const responsePattern = /^\$iothub\/scope\/res\/(\d{3})\/\?\$rid=([^&]+)$/;
const changedPattern = /^\$iothub\/scope\/changed\/\?\$version=([^&]+)$/;

export function scopeRequestTopic(rid: string, after?: string): string {
  return `$iothub/scope/GET/?$rid=${rid}${after === undefined ? '' : `&$after=${encodeURIComponent(after)}`}`;
}

export function scopeResponseTopic(status: number, rid: string): string {
  return `$iothub/scope/res/${status}/?$rid=${rid}`;
}

export function scopeChangedTopic(version: string): string {
  return `$iothub/scope/changed/?$version=${version}`;
}

/** Undefined when the topic is no such request. */
export function parseScopeRequest(topic: string): ScopeRequest | undefined {
  const [, rid, link] = requestPattern.exec(topic) ?? [];
  if (rid === undefined) return undefined;
  if (link === undefined) return { rid, after: undefined };
  try {
    return { rid, after: decodeURIComponent(link) };
  } catch {
    return undefined;
  }
}

/** Undefined when the topic is none of the scope's that a hub sends. */
export function parseScopeNews(topic: string): ScopeNews | undefined {
  const [, status, rid] = responsePattern.exec(topic) ?? [];
  if (status !== undefined && rid !== undefined) return { kind: 'scope-response', status: Number(status), rid };
  const [, version] = changedPattern.exec(topic) ?? [];
  return version === undefined ? undefined : { kind: 'scope-changed', version };
}
