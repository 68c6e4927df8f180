import t from 'tap';
import type { IotHubFront } from '../../../src/broker/iothub/front.ts';
import { ModuleInput } from '../../../src/broker/iothub/module-input.ts';
import type { Identity } from '../../../src/model/address.ts';
import { WeirError } from '../../../src/model/errors.ts';
import type { Message } from '../../../src/model/message.ts';
import { settle } from '../../support/sim-clock.ts';

const target = { deviceId: 'd', moduleId: 'm' };
const message = (text: string): { message: Message } => ({
  message: {
    sender: { deviceId: 'd', moduleId: 's' },
    system: {},
    properties: {},
    body: Buffer.from(text),
    enqueuedMs: 0,
  },
});

/** The two questions and the one service that an input needs of the front. */
class FakeFront {
  listening = false;
  readonly delivered: string[] = [];
  readonly #listeners: ((identity: Identity) => void)[] = [];
  deliver: (text: string) => Promise<void> = () => Promise.resolve();

  isListening(): boolean {
    return this.listening;
  }

  onListening(listener: (identity: Identity) => void): void {
    this.#listeners.push(listener);
  }

  announce(identity: Identity): void {
    for (const listener of this.#listeners) listener(identity);
  }

  async deliverInput(_target: Identity, input: string, { body }: Message): Promise<void> {
    const text = `${input}:${Buffer.from(body).toString('utf8')}`;
    await this.deliver(text);
    this.delivered.push(text);
  }
}

function setUp(): { front: FakeFront; input: ModuleInput } {
  const front = new FakeFront();
  return { front, input: new ModuleInput(front as unknown as IotHubFront, { target, input: 'in' }) };
}

t.test('a batch is delivered in order, each message after the one before was acknowledged', async (t) => {
  const { front, input } = setUp();
  const waiting: (() => void)[] = [];
  front.deliver = () => new Promise((resolve) => waiting.push(resolve));
  const sending = input.send([message('1'), message('2')]);
  await settle();
  t.equal(waiting.length, 1);
  waiting[0]?.();
  await settle();
  t.equal(waiting.length, 2);
  waiting[1]?.();
  t.equal(await sending, 2);
  t.strictSame(front.delivered, ['in:1', 'in:2']);
});

t.test('a failure midway tells how many were accepted; one at the front rejects', async (t) => {
  const { front, input } = setUp();
  front.deliver = (text) =>
    text === 'in:2'
      ? Promise.reject(new WeirError({ code: 'BROKER_CLIENT_GONE', message: 'gone' }))
      : Promise.resolve();
  t.equal(await input.send([message('1'), message('2'), message('3')]), 1);
  t.strictSame(front.delivered, ['in:1']);
  await t.rejects(input.send([message('2')]), { code: 'BROKER_CLIENT_GONE' });
});

t.test('ready waits for the module to listen, or for the end', async (t) => {
  const { front, input } = setUp();
  const ended = new AbortController();
  let ready = 0;
  const count = (): void => {
    ready += 1;
  };
  const waiting = [input.ready(ended.signal).then(count), input.ready(ended.signal).then(count)];
  front.announce({ deviceId: 'd', moduleId: 'other' });
  front.announce(target);
  await settle();
  t.equal(ready, 0, 'another module, or another input of this one');
  front.listening = true;
  front.announce(target);
  await Promise.all(waiting);
  await input.ready(ended.signal);
  front.listening = false;
  const last = input.ready(ended.signal);
  ended.abort();
  await last;
  await input.ready(ended.signal);
});
