// The workload socket from a module's side: its SAS tokens and the trust bundle.
//
// POST /modules/{m}/genid/{g}/sign?api-version=…  {"keyId":"primary","algo":"HMACSHA256","data":base64}
//   → 200 {"digest":base64}. `data` is what a SAS token signs: `{resource}\n{unix seconds}`.
// GET  /trust-bundle?api-version=…  → 200 {"certificate":"<PEM bundle>"}
//
// The key itself never comes here. Every failure is retryable: the daemon may be starting.

import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';
import type { Http } from '../platform/http.ts';
import { formatSas, sasResource, sasStringToSign } from '../protocol/iothub/sas.ts';
import type { ModuleEnvironment } from './environment.ts';
import { ModuleLinkError } from './errors.ts';

const statusOk = 200;

export class WorkloadClient {
  readonly #http: Http;
  readonly #env: ModuleEnvironment;

  constructor(http: Http, env: ModuleEnvironment) {
    this.#http = http;
    this.#env = env;
  }

  /** A SAS token of this module, valid until `expirySeconds` (unix time). Throws PLATFORM_HTTP_FAILED, MODULES_WORKLOAD_REFUSED. */
  async token(expirySeconds: number, signal?: AbortSignal): Promise<string> {
    const { identity, generationId, hubHostname } = this.#env;
    const resource = sasResource(hubHostname, identity);
    const data = Buffer.from(sasStringToSign(resource, expirySeconds)).toString('base64');
    const path = `/modules/${encodeURIComponent(identity.moduleId)}/genid/${encodeURIComponent(generationId)}/sign`;
    const body = JSON.stringify({ keyId: 'primary', algo: 'HMACSHA256', data });
    const answer = await this.#call({ method: 'POST', path, body }, signal);
    return formatSas({ resource, expirySeconds, signature: textMember(answer, 'digest', path) });
  }

  /** PEM certificates that servers of this gateway are trusted by. */
  async trustBundle(signal?: AbortSignal): Promise<string> {
    const path = '/trust-bundle';
    return textMember(await this.#call({ method: 'GET', path }, signal), 'certificate', path);
  }

  async #call(
    request: { readonly method: string; readonly path: string; readonly body?: string },
    signal: AbortSignal | undefined,
  ): Promise<JsonObject> {
    const { status, body } = await this.#http.call({
      ...request,
      socketPath: this.#env.workloadSocket,
      path: `${request.path}?api-version=${encodeURIComponent(this.#env.workloadApiVersion)}`,
      ...(signal === undefined ? {} : { signal }),
    });
    const parsed = parseJson(body);
    const answer = parsed.ok && isJsonObject(parsed.value) ? parsed.value : {};
    if (status === statusOk) return answer;
    const detail = typeof answer['message'] === 'string' ? answer['message'] : body.trim();
    throw refused(request.path, `it answered ${status}: ${detail}`);
  }
}

function textMember(answer: JsonObject, name: string, path: string): string {
  const value = answer[name];
  if (typeof value === 'string') return value;
  throw refused(path, `its answer has no '${name}'`);
}

function refused(path: string, detail: string): ModuleLinkError {
  return new ModuleLinkError({
    code: 'MODULES_WORKLOAD_REFUSED',
    message: `The workload socket does not serve ${path}: ${detail}. Is this module part of the deployment?`,
    fields: { path },
    retryable: true,
  });
}
