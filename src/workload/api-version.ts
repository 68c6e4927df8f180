// The versions of Azure's local APIs: an exact set, in `?api-version=` of every request.

import type { HttpRequest } from '../platform/http.ts';
import { badRequestError } from './errors.ts';

/** In order of age: texts compare like dates. */
export const apiVersions: readonly string[] = [
  '2018-06-28',
  '2019-01-30',
  '2019-10-22',
  '2019-11-05',
  '2020-07-07',
  '2021-12-07',
  '2022-08-03',
];
export const firstApiVersion = '2018-06-28';

/** Throws WORKLOAD_REQUEST_INVALID unless the request names a version that there is, `since` or newer. */
export function checkApiVersion(request: HttpRequest, since: string): void {
  const version = request.query.get('api-version');
  if (version === null || version === '') {
    throw badRequestError(`api-version not specified: add ?api-version=${apiVersions.at(-1) ?? since} to the path`);
  }
  if (!apiVersions.includes(version))
    throw badRequestError(`invalid api-version "${version}": it is none of ${apiVersions.join(', ')}`);
  if (version < since) throw badRequestError(`this needs api-version ${since} or newer, not '${version}'`);
}
