// Reason codes against table 2-6 of the specification: number, and the packets that may carry it.

import t from 'tap';
import { type ProtocolProblem, problemReason } from '../../../src/protocol/mqtt/errors.ts';
import { packetType } from '../../../src/protocol/mqtt/frame.ts';
import { isFailure, mayCarryReason } from '../../../src/protocol/mqtt/reason-codes.ts';

const table: Readonly<Record<number, string>> = {
  0: 'connack puback pubrec pubrel pubcomp suback unsuback disconnect auth',
  1: 'suback',
  2: 'suback',
  4: 'disconnect',
  16: 'puback pubrec',
  17: 'unsuback',
  24: 'auth',
  25: 'auth',
  128: 'connack puback pubrec suback unsuback disconnect',
  129: 'connack disconnect',
  130: 'connack disconnect',
  131: 'connack puback pubrec suback unsuback disconnect',
  132: 'connack',
  133: 'connack',
  134: 'connack',
  135: 'connack puback pubrec suback unsuback disconnect',
  136: 'connack',
  137: 'connack disconnect',
  138: 'connack',
  139: 'disconnect',
  // Table 2-6 gives it to DISCONNECT too, the table of DISCONNECT itself [MQTT-3.14.2-1] does not.
  140: 'connack',
  141: 'disconnect',
  142: 'disconnect',
  143: 'suback unsuback disconnect',
  144: 'connack puback pubrec disconnect',
  145: 'puback pubrec suback unsuback',
  146: 'pubrel pubcomp',
  147: 'disconnect',
  148: 'disconnect',
  149: 'connack disconnect',
  150: 'disconnect',
  151: 'connack puback pubrec suback disconnect',
  152: 'disconnect',
  153: 'connack puback pubrec disconnect',
  154: 'connack disconnect',
  155: 'connack disconnect',
  156: 'connack disconnect',
  157: 'connack disconnect',
  158: 'suback disconnect',
  159: 'connack disconnect',
  160: 'disconnect',
  161: 'suback disconnect',
  162: 'suback disconnect',
};

t.test('a packet carries the reasons of its table and no others', async (t) => {
  for (let code = 0; code <= 255; code++) {
    const wanted = (table[code] ?? '').split(' ').filter((name) => name !== '');
    const found = Object.entries(packetType).filter(([, type]) => mayCarryReason(type, code));
    t.same(
      found.map(([name]) => name),
      wanted,
      `reason ${code}`,
    );
  }
});

t.test('from 0x80 on a reason is a failure', async (t) => {
  t.notOk(isFailure(0x19));
  t.ok(isFailure(0x80));
});

t.test('every problem has a reason with which a connection may end', async (t) => {
  const problems: Readonly<Record<ProtocolProblem, number>> = {
    'malformed-length': 0x81,
    'packet-too-large': 0x95,
    'malformed-packet': 0x81,
    'malformed-topic': 0x90,
    'malformed-filter': 0x8f,
    'unexpected-packet': 0x82,
    'invalid-packet-id': 0x82,
    'protocol-error': 0x82,
    'topic-alias-invalid': 0x94,
    'payload-format-invalid': 0x99,
    'unsupported-protocol': 0x84,
  };
  for (const [problem, code] of Object.entries(problems)) {
    t.equal(problemReason(problem as ProtocolProblem), code, problem);
    t.ok(mayCarryReason(code === 0x84 ? packetType.connack : packetType.disconnect, code));
  }
});
