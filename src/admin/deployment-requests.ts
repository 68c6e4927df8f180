// The requests of the admin socket that concern the deployment.
//
//   GET  /deployment                 how far it has come
//   POST /deployment?dry-run=true    a manifest: its faults, or the plan; without dry-run it is also carried out
//
// Faults of a manifest are an answer (200, `ok` false) and not an error: all of them, each with its path and mend.

import { isJsonObject, parseJson } from '../model/json.ts';
import type { HttpRequest, HttpResponse } from '../platform/http.ts';
import { AdminError } from './errors.ts';
import type { AdminDeployment } from './ports.ts';
import { json } from './request-parts.ts';

interface DeploymentRequest {
  readonly method: string;
  readonly answer: () => Promise<HttpResponse>;
}

/** Undefined when the path is not of these. */
export function deploymentRequest(deployment: AdminDeployment, request: HttpRequest): DeploymentRequest | undefined {
  const [first, ...rest] = request.segments;
  if (first !== 'deployment' || rest.length > 0) return undefined;
  if (request.method !== 'POST') return { method: 'GET', answer: async () => json(deployment.progress()) };
  return { method: 'POST', answer: () => deploy(deployment, request) };
}

async function deploy(deployment: AdminDeployment, { body, query }: HttpRequest): Promise<HttpResponse> {
  const parsed = parseJson(body);
  if (parsed.ok && isJsonObject(parsed.value))
    return json(await deployment.deploy(parsed.value, { dryRun: query.get('dry-run') === 'true' }));
  const reason = parsed.ok ? '' : ` (${parsed.reason})`;
  throw new AdminError('ADMIN_BAD_REQUEST', `The manifest is not a JSON object${reason}.`);
}
