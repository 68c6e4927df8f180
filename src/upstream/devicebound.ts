// Cloud-to-device messages for the leaf devices behind this gateway, on their way from the hub.
//
//   leaf subscribes here ─► listen(leaf, true) ─► SUBSCRIBE devices/{leaf}/messages/devicebound/# at the hub
//   hub ─ message, $.lock=r ─► taker ─► the leaf's PUBACK ─► $iothub/messages/res/200/?$rid=r
//                                  └── the leaf was not there: 404; it left without a PUBACK: 410
//
// The messages themselves stay at the hub: nothing is kept here, and a message is gone there only when the leaf has
// it. The PUBACK of the link says no more than that the message arrived; the settlement has a topic of its own, so
// that one slow leaf does not hold back the acknowledgements of the others, which MQTT wants in order.
//
// Who listens outlives the connection: after each connect the hub is told anew.

import { upstreamFiltersPerPacket } from '../limits.ts';
import type { Identity } from '../model/address.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { Log } from '../platform/log.ts';
import { decodePropertyBag, lockProperty } from '../protocol/iothub/property-bag.ts';
import { cloudToDeviceFilter, settlementTopic } from '../protocol/iothub/topics.ts';
import type { MqttClient } from '../protocol/mqtt/client.ts';
import type { DeviceboundMessage } from './ports.ts';

/** Resolves when the device has the message. Rejects with IOTHUB_NOT_LISTENING when it never saw it. */
export type DeviceboundTaker = (device: Identity, message: DeviceboundMessage) => Promise<void>;

const taken = 200;
const notThere = 404;
const left = 410;
const refusedCode = 128;
const unseen = new Set(['IOTHUB_NOT_LISTENING', 'IOTHUB_BUSY']);

export class DeviceboundRelay {
  readonly #log: Log;
  readonly #devices = new Set<string>();
  #client: Pick<MqttClient, 'subscribe' | 'unsubscribe'> | undefined;
  #taker: DeviceboundTaker | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** The one who passes messages on. */
  take(taker: DeviceboundTaker): void {
    this.#taker = taker;
  }

  /** Whether messages for the device are wanted. */
  listen({ deviceId }: Identity, wanted: boolean): void {
    if (this.#devices.has(deviceId) === wanted) return;
    if (wanted) this.#devices.add(deviceId);
    else this.#devices.delete(deviceId);
    if (this.#client === undefined) return;
    if (wanted) this.#subscribe(this.#client, [deviceId]);
    // The answer tells nothing, and a connection that ends has forgotten it anyway.
    else this.#client.unsubscribe([cloudToDeviceFilter({ deviceId })]).catch(() => undefined);
  }

  /** The link is up: tells the hub who listens. */
  attach(client: Pick<MqttClient, 'subscribe' | 'unsubscribe'>): void {
    this.#client = client;
    const all = [...this.#devices];
    for (let from = 0; from < all.length; from += upstreamFiltersPerPacket)
      this.#subscribe(client, all.slice(from, from + upstreamFiltersPerPacket));
  }

  detach(): void {
    this.#client = undefined;
  }

  /** The topic that settles the message, once it is; undefined when the hub does not ask for one. */
  async receive(deviceId: string, bagText: string, body: Buffer): Promise<string | undefined> {
    const bag = decodePropertyBag(bagText);
    if (!bag.ok) {
      this.#log.warn('a cloud-to-device message cannot be read', { device: deviceId, reason: bag.reason });
      return undefined;
    }
    const { [lockProperty]: lock, ...properties } = bag.properties;
    if (lock === undefined) {
      this.#log.warn('a cloud-to-device message came without its lock: it cannot be settled', { device: deviceId });
      return undefined;
    }
    return settlementTopic(await this.#pass({ deviceId }, { system: bag.system, properties, body }), lock);
  }

  async #pass(device: Identity, message: DeviceboundMessage): Promise<number> {
    if (this.#taker === undefined) return notThere;
    try {
      await this.#taker(device, message);
      return taken;
    } catch (error) {
      this.#log.debug('a cloud-to-device message stays at the hub', {
        device: device.deviceId,
        reason: errorMessage(error),
      });
      return unseen.has(errorCode(error)) ? notThere : left;
    }
  }

  #subscribe(client: Pick<MqttClient, 'subscribe'>, deviceIds: readonly string[]): void {
    const filters = deviceIds.map((deviceId) => ({ filter: cloudToDeviceFilter({ deviceId }), qos: 1 as const }));
    client.subscribe(filters).then(
      (granted) => {
        const refused = deviceIds.filter((_, index) => granted[index] === refusedCode);
        if (refused.length > 0)
          this.#log.warn('the hub does not give this gateway messages of these devices', {
            devices: refused.join(', '),
          });
      },
      // The link ended; after the next connect it is told again.
      () => undefined,
    );
  }
}
