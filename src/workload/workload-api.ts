// The workload API of Azure IoT Edge for one module: requests → answers. No socket here.
//
//   GET  /trust-bundle, /manifest-trust-bundle            {"certificate": PEM}
//   GET  /modules                                          {"modules": [the caller]}
//   POST /modules/{m}/genid/{g}/sign                       {"keyId","algo":"HMACSHA256","data"} → {"digest"}
//   POST /modules/{m}/genid/{g}/encrypt                    {"plaintext","initializationVector"} → {"ciphertext"}
//   POST /modules/{m}/genid/{g}/decrypt                    {"ciphertext","initializationVector"} → {"plaintext"}
//   POST /modules/{m}/genid/{g}/certificate/server         {"commonName","expiration"} → 201 certificate
//   POST /modules/{m}/certificate/identity                 {"expiration"?} → 201 certificate
//
// Binary members are base64. Every request carries `?api-version=`, one of an exact set; each route has a first
// version. Errors are {"message": …}.
//
// The caller is the socket's owner: a path that names another module is refused. The generation in the path is
// not looked at, as at Azure's daemon: keys are always those of the module's present generation. A requested
// expiration is ignored for the issuer's own 30 days. Azure lists all modules with their settings at /modules;
// here a module sees itself only, because settings hold other modules' secrets.

import type { JsonObject, JsonValue } from '../model/json.ts';
import { isJsonObject, parseJson } from '../model/json.ts';
import type { HttpRequest, HttpResponse } from '../platform/http.ts';
import { checkApiVersion, firstApiVersion } from './api-version.ts';
import { badRequestError, forbiddenError, unknownRouteError } from './errors.ts';
import type { WorkloadCertificates, WorkloadKeys } from './ports.ts';

export interface WorkloadModule {
  readonly moduleId: string;
  readonly generationId: string;
}

export interface WorkloadApiOptions {
  readonly module: WorkloadModule;
  readonly keys: WorkloadKeys;
  readonly certificates: WorkloadCertificates;
  readonly hubHostname: string;
  readonly deviceId: string;
}

const manifestTrustVersion = '2020-07-07';
const statusOk = 200;
const statusCreated = 201;
const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Throws WeirErrors with fields.status for whatever is refused. */
export async function answerWorkload(request: HttpRequest, options: WorkloadApiOptions): Promise<HttpResponse> {
  const [first, moduleId, third, , fifth, sixth] = request.segments;
  const route = `${request.method} ${routeShape(request.segments)}`;
  const { certificates, module } = options;
  switch (route) {
    case 'GET trust-bundle':
      checkApiVersion(request, firstApiVersion);
      return json(statusOk, { certificate: certificates.trustBundle() });
    case 'GET manifest-trust-bundle':
      checkApiVersion(request, manifestTrustVersion);
      return json(statusOk, { certificate: certificates.trustBundle() });
    case 'GET modules':
      checkApiVersion(request, firstApiVersion);
      return json(statusOk, { modules: [moduleDetails(module.moduleId)] });
    case 'POST modules/*/genid/*/*':
    case 'POST modules/*/genid/*/certificate/server':
    case 'POST modules/*/certificate/identity': {
      const action = third === 'certificate' ? 'identity' : (sixth ?? fifth);
      checkApiVersion(request, firstApiVersion);
      if (first !== 'modules' || moduleId !== module.moduleId) throw forbiddenError(moduleId ?? '', module.moduleId);
      return answerModule(action ?? '', request, options);
    }
    default:
      throw unknownRouteError(request.method, `/${request.segments.join('/')}`, 'workload');
  }
}

async function answerModule(action: string, request: HttpRequest, options: WorkloadApiOptions): Promise<HttpResponse> {
  const { keys, certificates, hubHostname, deviceId } = options;
  const { moduleId, generationId } = options.module;
  const body = readBody(request.body);
  // Only the identity certificate has a request without a single member that must be there.
  if (action !== 'identity' && request.body.trim() === '') throw badRequestError('missing request body');
  switch (action) {
    case 'sign': {
      const algorithm = body['algo'];
      if (algorithm !== undefined && (typeof algorithm !== 'string' || algorithm.toUpperCase() !== 'HMACSHA256'))
        throw badRequestError("'algo' must be HMACSHA256");
      return json(statusOk, { digest: keys.sign(moduleId, generationId, bytesMember(body, 'data')) });
    }
    case 'encrypt': {
      const text = { plaintext: bytesMember(body, 'plaintext'), initializationVector: vectorMember(body) };
      return json(statusOk, { ciphertext: base64(keys.encrypt(moduleId, generationId, text)) });
    }
    case 'decrypt': {
      const text = { ciphertext: bytesMember(body, 'ciphertext'), initializationVector: vectorMember(body) };
      return json(statusOk, { plaintext: base64(keys.decrypt(moduleId, generationId, text)) });
    }
    case 'server': {
      const commonName = body['commonName'];
      if (typeof commonName !== 'string' || commonName.trim() === '') throw badRequestError("'commonName' is missing");
      return certificateAnswer(await certificates.issueServer({ commonName, moduleId }));
    }
    case 'identity': {
      const uri = `azureiot://${hubHostname}/devices/${deviceId}/modules/${moduleId}`;
      return certificateAnswer(await certificates.issueIdentity({ moduleId, uri }));
    }
    default:
      throw unknownRouteError(request.method, `/${request.segments.join('/')}`, 'workload');
  }
}

/** The path with ids as `*`: what the routes are told apart by. */
function routeShape(segments: readonly string[]): string {
  const [first, , third, , fifth, sixth, ...rest] = segments;
  if (first !== 'modules' || segments.length === 1) return segments.join('/');
  if (third === 'genid' && fifth !== undefined && rest.length === 0) {
    return sixth === undefined ? 'modules/*/genid/*/*' : `modules/*/genid/*/${fifth}/${sixth}`;
  }
  return `modules/*/${segments.slice(2).join('/')}`;
}

function readBody(text: string): JsonObject {
  if (text.trim() === '') return {};
  const parsed = parseJson(text);
  if (!parsed.ok) throw badRequestError(`the body is not JSON (${parsed.reason})`);
  if (!isJsonObject(parsed.value)) throw badRequestError('the body is not a JSON object');
  return parsed.value;
}

function bytesMember(body: JsonObject, name: string): Buffer {
  const value = body[name];
  if (typeof value !== 'string') throw badRequestError(`'${name}' is missing`);
  if (!base64Pattern.test(value)) throw badRequestError(`'${name}' is not base64`);
  return Buffer.from(value, 'base64');
}

function vectorMember(body: JsonObject): Buffer {
  const vector = bytesMember(body, 'initializationVector');
  if (vector.length === 0) throw badRequestError("'initializationVector' is empty");
  return vector;
}

function moduleDetails(moduleId: string): JsonObject {
  return {
    id: moduleId,
    name: moduleId,
    type: 'process',
    config: { settings: {}, env: [] },
    status: { runtimeStatus: { status: 'running' } },
  };
}

function certificateAnswer(issued: {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly notAfterMs: number;
}): HttpResponse {
  return json(statusCreated, {
    privateKey: { type: 'key', bytes: issued.privateKeyPem },
    certificate: issued.certificatePem,
    expiration: new Date(issued.notAfterMs).toISOString(),
  });
}

function json(status: number, body: JsonValue): HttpResponse {
  return { status, body: JSON.stringify(body) };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
