// Who is at the other end of a unix socket: SO_PEERCRED, which Node does not offer, through a tiny addon.

import { nativeAddon } from './native.ts';
import type { PeerCredentials } from './net.ts';

interface HostAddon {
  peerCredentials(fd: number): PeerCredentials;
}

/** The reader for systemNetwork and systemHttp. Loads the addon on first use; throws what the addon throws. */
export function systemPeerCredentials(): (fd: number) => PeerCredentials {
  return (fd) => (nativeAddon('host') as HostAddon).peerCredentials(fd);
}
