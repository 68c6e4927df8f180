// Who is at the other end of a unix socket: SO_PEERCRED, which Node does not offer, through a tiny addon.
//
// The kernel remembers who connected, not who holds the connection now, and a pid can be another process's by the time
// it is asked for. So the start time of the process is taken down at once: whoever looks later knows whether it is
// still the same one. It is missing when that process was gone already, or is in a pid namespace that we do not see.

import { nativeAddon } from './native.ts';
import type { PeerCredentials } from './net.ts';
import { startTicksNow } from './process-lineage.ts';

interface HostAddon {
  peerCredentials(fd: number): PeerCredentials;
}

/** The reader for systemNetwork and systemHttp. Loads the addon on first use; throws what the addon throws. */
export function systemPeerCredentials(): (fd: number) => PeerCredentials {
  return (fd) => {
    const peer = (nativeAddon('host') as HostAddon).peerCredentials(fd);
    const startTicks = peer.pid > 0 ? startTicksNow(peer.pid) : undefined;
    return startTicks === undefined ? peer : { ...peer, startTicks };
  };
}
