// The message a client leaves behind: published when its connection ends without DISCONNECT [MQTT-3.1.2-8].
//
// Whether it may be published was decided when the client connected; a topic that the topic service owns is the
// service's to refuse.

import { Buffer } from 'node:buffer';
import { errorMessage } from '../model/errors.ts';
import type { Log } from '../platform/log.ts';
import { PublishView, type Qos } from '../protocol/mqtt/publish.ts';
import type { Exchange } from './exchange.ts';
import type { BrokerClient, TopicProtocol } from './ports.ts';

export interface Will {
  readonly topic: string;
  readonly view: PublishView;
}

interface WillFields {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  readonly qos?: Qos;
  readonly retain?: boolean;
}

/** The will of a CONNECT; its topic is valid. */
export function willOf({ topic, payload, qos = 0, retain = false }: WillFields): Will {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  return { topic, view: PublishView.of({ topic, payload: bytes, qos, retain }) };
}

interface WillShare {
  readonly service: TopicProtocol | undefined;
  readonly exchange: Exchange;
  readonly log: Log;
  track(work: Promise<void>): void;
}

/** Publishes the will of `client`, whose connection ended just now. */
export function publishWill({ topic, view }: Will, client: BrokerClient, share: WillShare): void {
  const { service, exchange, log } = share;
  const route = exchange.route(topic);
  if (route?.owned !== true) {
    if (route !== undefined) exchange.publish(view, route, undefined);
    return;
  }
  const publish = { topic, payload: view.payload(), qos: view.qos, retain: view.retain, duplicate: false };
  const serve = async (): Promise<void> => service?.publish(client, publish);
  const refused = (error: unknown): void => {
    log.warn('will refused', { client: client.clientId, topic, reason: errorMessage(error) });
  };
  share.track(serve().catch(refused));
}
