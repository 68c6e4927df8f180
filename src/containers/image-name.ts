// Names of images, as the Docker reference grammar has them.
//
//   [registry[:port]/]path[/path…][:tag][@sha256:64 hex digits]        no tag and no digest: `latest`
//
// The first part is a registry when it holds a dot or a colon or is `localhost`; otherwise the engine looks at Docker
// Hub. A name with a digest names one content for ever; its tag is for people.

import { imageNameError } from './errors.ts';

export interface ImageName {
  /** What the engine is asked for: `registry/path:tag`, or `registry/path@sha256:…`. */
  readonly reference: string;
  /** `registry/path`. */
  readonly repository: string;
  readonly tag: string | undefined;
  /** `sha256:…` */
  readonly digest: string | undefined;
}

const nameLengthMax = 255;
const part = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const host =
  '(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\\[[a-fA-F0-9:]+\\])(?::\\d+)?';
const pattern = new RegExp(`^((?:${host}/)?${part}(?:/${part})*)(?::(\\w[\\w.-]{0,127}))?(?:@(sha256:[a-f0-9]{64}))?$`);

/** Throws CONTAINERS_IMAGE_NAME. */
export function parseImageName(text: string): ImageName {
  const found = pattern.exec(text.trim());
  const repository = found?.[1];
  if (repository === undefined) throw imageNameError(text, 'it does not follow the grammar of image references');
  if (repository.length > nameLengthMax) throw imageNameError(text, `it is longer than ${nameLengthMax} characters`);
  const digest = found?.[3];
  const tag = found?.[2] ?? (digest === undefined ? 'latest' : undefined);
  return {
    reference: digest === undefined ? `${repository}:${tag}` : `${repository}@${digest}`,
    repository,
    tag,
    digest,
  };
}
