import t from 'tap';
import { WearLedger } from '../../src/flash/wear-ledger.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

function run(ledger: WearLedger, hours: number, writtenPerMinute: number): void {
  for (let minute = 0; minute < hours * 60; minute++)
    ledger.add({
      elapsedMs: minuteMs,
      written: writtenPerMinute,
      deviceWritten: 2 * writtenPerMinute,
      accepted: writtenPerMinute / 2,
    });
}

t.test('a day is the last 24 hours of operation, and nothing is said before the first hour is over', (t) => {
  const ledger = new WearLedger('card');
  run(ledger, 0.5, 1_000);
  t.equal(ledger.writtenPerDay, undefined);
  run(ledger, 0.5, 1_000);
  t.equal(ledger.writtenPerDay, 1_440_000);
  t.equal(ledger.deviceWrittenPerDay, 2_880_000);
  run(ledger, 24, 10);
  t.equal(ledger.writtenPerDay, 14_400, 'what is older has gone');
  t.equal(ledger.amplification, 2);
  t.equal(ledger.watchedMs, 25 * hourMs);
  t.end();
});

t.test('the account goes on from its text, on the same device only', (t) => {
  const ledger = new WearLedger('card');
  ledger.sawStep(2);
  run(ledger, 30, 1_000);
  ledger.sawStep(3);
  const again = new WearLedger('card', ledger.text());
  t.equal(again.writtenPerDay, 1_440_000);
  t.equal(again.written, ledger.written);
  t.same(again.rises, [{ step: 3, watchedMs: 30 * hourMs }], 'the first step seen is no rise');
  again.sawStep(3);
  again.sawStep(1);
  t.equal(again.rises.length, 1);
  t.ok(ledger.text().length < 2_048, 'it is small');
  t.equal(new WearLedger('another card', ledger.text()).written, 0);
  t.end();
});

t.test('a text that is not understood begins anew', (t) => {
  const ledger = new WearLedger('card');
  run(ledger, 2, 1_000);
  const text = ledger.text();
  const broken = [
    '',
    'weir-flash 2\n{}',
    'weir-flash 1\n{',
    'weir-flash 1\nnull',
    text.slice(0, -1),
    text.replace('"hours":[{', '"hours":[7,{'),
    text.replace(/"written":\d+/, '"written":-1'),
    text.replace(/"rises":\[\]/, '"rises":{}'),
  ];
  for (const found of broken) {
    t.not(found, text);
    t.equal(new WearLedger('card', found).written, 0, JSON.stringify(found.slice(0, 40)));
  }
  t.end();
});
