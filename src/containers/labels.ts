// The labels by which a container is known again: whose it is, which module, which configuration.
//
//   net.weir.gateway     one gateway of those that share an engine
//   net.weir.module      the module's name
//   net.weir.generation  the configuration, as the agent names it
//   net.weir.create      digest of everything the container was created from: the same, and it may be started again
//
// Azure's own labels (net.azure-devices.edge.…) come with the deployment; tools that look for them find them here, too.

export const gatewayLabel = 'net.weir.gateway';
export const moduleLabel = 'net.weir.module';
export const generationLabel = 'net.weir.generation';
export const createLabel = 'net.weir.create';

export const ownerLabel = 'net.azure-devices.edge.owner';
export const owner = 'Microsoft.Azure.Devices.Edge.Agent';
export const originalImageLabel = 'net.azure-devices.edge.original-image';

const nameLengthMax = 63;
const digestLengthInName = 8;

/**
 * A module's name as a container's, which may hold [a-zA-Z0-9_.-] only and begins with a letter or digit. A name that
 * has to be changed carries a digest, so that two modules never share one.
 */
export function containerName(module: string, digest: (text: string) => string): string {
  const plain = module
    .replaceAll(/[^a-zA-Z0-9_.-]/g, '_')
    .replace(/^[^a-zA-Z0-9]+/, '')
    .slice(0, nameLengthMax);
  if (plain === module && module.length > 1) return plain;
  return `${plain === '' ? 'module' : plain}-${digest(module).slice(0, digestLengthInName)}`;
}
