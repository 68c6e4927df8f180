// References of container images: checked, completed, and taken apart.
//
//   [domain[:port]/]path/…[:tag][@algorithm:hex]       distribution's reference grammar
//
//   "nginx" → "nginx:latest"    "$upstream:443/app:1" → "<parent gateway>:443/app:1"
//
// A reference without tag and digest means `:latest`, as in Azure's agent. The domain decides which credentials count;
// without one it is Docker's own registry.

import { imageReferenceMax } from '../limits.ts';

export type ImageReference =
  | { readonly ok: true; readonly image: string }
  | { readonly ok: false; readonly reason: string };

const upstreamWord = '$upstream';
const dockerHub = 'docker.io';
const dockerHubNames: readonly string[] = [
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
];
const domainPattern = /^[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?$/;
const addressPattern = /^\[[0-9a-fA-F:]+\](:\d{1,5})?$/;
const componentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,128}$/;
const example = 'such as "registry.example.com:5000/name:1.0"';

/** `parentHostname` stands for `$upstream`. */
export function readImage(text: string, parentHostname: string | undefined): ImageReference {
  const written = text.trim();
  const bad = (reason: string): ImageReference => ({ ok: false, reason });
  if (written === '') return bad(`the name of a container image is expected, ${example}`);
  if (written.length > imageReferenceMax) return bad(`an image reference has at most ${imageReferenceMax} characters`);
  if (written.startsWith(upstreamWord) && parentHostname === undefined)
    return bad(`${upstreamWord} means the parent gateway, and this one has none; write the registry's name`);
  const image = written.startsWith(upstreamWord) ? `${parentHostname}${written.slice(upstreamWord.length)}` : written;
  const { domain, path, tag, digest } = takeApart(image);
  if (domain !== undefined && !domainPattern.test(domain) && !addressPattern.test(domain))
    return bad(`${JSON.stringify(domain)} is not the name of a registry; write it ${example}`);
  if (!path.split('/').every((component) => componentPattern.test(component)))
    return bad(
      `${JSON.stringify(path)} is not the name of an image: small letters, digits, '.', '_' and '-' between them`,
    );
  if (tag !== undefined && !tagPattern.test(tag))
    return bad(`${JSON.stringify(tag)} is not a tag: letters, digits, '_', '.' and '-'`);
  if (digest !== undefined && !digestPattern.test(digest))
    return bad(`${JSON.stringify(digest)} is not a digest such as sha256:…`);
  return { ok: true, image: tag === undefined && digest === undefined ? `${image}:latest` : image };
}

/** Of the registry, in small letters: `docker.io` when the reference names none. */
export function registryOf(image: string): string {
  return registryAddress(takeApart(image).domain ?? dockerHub);
}

/** An address as people write it in credentials: scheme and path do not count. */
export function registryAddress(text: string): string {
  const host = text
    .trim()
    .replace(/^https?:\/\//i, '')
    .replace(/\/.*$/, '')
    .toLowerCase();
  return dockerHubNames.includes(host) ? dockerHub : host;
}

interface Parts {
  readonly domain: string | undefined;
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

function takeApart(image: string): Parts {
  const [name = '', ...digests] = image.split('@');
  const lastSlash = name.lastIndexOf('/');
  const colon = name.indexOf(':', lastSlash + 1);
  const bare = colon === -1 ? name : name.slice(0, colon);
  const [first = '', ...others] = bare.split('/');
  const isDomain = others.length > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  return {
    domain: isDomain ? first : undefined,
    path: isDomain ? others.join('/') : bare,
    tag: colon === -1 ? undefined : name.slice(colon + 1),
    digest: digests.length === 0 ? undefined : digests.join('@'),
  };
}
