import t from 'tap';
import { methodNameMax, methodPayloadBytesMax } from '../../../src/limits.ts';
import { parseMethodRequest } from '../../../src/protocol/iothub/method-request.ts';
import { serviceErrorBody } from '../../../src/protocol/iothub/service-error.ts';

t.test("a call as Microsoft's client writes it, and one with nothing but a name", (t) => {
  const body = {
    methodName: 'reboot',
    payload: { hard: true },
    responseTimeoutInSeconds: 5,
    connectTimeoutInSeconds: 2,
  };
  t.strictSame(parseMethodRequest(JSON.stringify(body)), {
    ok: true,
    request: { name: 'reboot', payload: { hard: true }, timeoutMs: 5000, connectTimeoutMs: 2000 },
  });
  t.strictSame(parseMethodRequest('{"methodName":"x"}'), {
    ok: true,
    request: { name: 'x', payload: null, timeoutMs: 30_000, connectTimeoutMs: 0 },
  });
  t.end();
});

t.test("what IoT Hub refuses is refused, with the member's name", (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /not JSON/],
    ['[]', /object/],
    ['{}', /methodName/],
    ['{"methodName":""}', /methodName/],
    ['{"methodName":7}', /methodName/],
    [JSON.stringify({ methodName: 'x'.repeat(methodNameMax + 1) }), /methodName/],
    ['{"methodName":"x","responseTimeoutInSeconds":4}', /responseTimeout/],
    ['{"methodName":"x","responseTimeoutInSeconds":301}', /responseTimeout/],
    ['{"methodName":"x","responseTimeoutInSeconds":"9"}', /responseTimeout/],
    ['{"methodName":"x","connectTimeoutInSeconds":-1}', /connectTimeout/],
    ['{"methodName":"x","connectTimeoutInSeconds":301}', /connectTimeout/],
  ];
  for (const [body, reason] of cases) t.match(parseMethodRequest(body), { ok: false, reason, tooLarge: false }, body);
  const large = JSON.stringify({ methodName: 'x', payload: 'y'.repeat(methodPayloadBytesMax) });
  t.match(parseMethodRequest(large), { ok: false, tooLarge: true });
  t.end();
});

t.test("an error is read by Azure's clients: code and text between the first two semicolons", (t) => {
  const body = serviceErrorBody({
    azureCode: 'DeviceNotOnline',
    code: 'IOTHUB_NOT_LISTENING',
    message: 'one; two: three',
    trackingId: 'id',
    nowMs: 0,
    more: { problems: [{ path: '$' }] },
  });
  const { Message, ExceptionMessage, code, problems } = JSON.parse(body);
  const [head, text] = Message.split(';');
  t.strictSame([head.split(':')[1], text, code], ['DeviceNotOnline', 'one, two: three', 'IOTHUB_NOT_LISTENING']);
  t.equal(ExceptionMessage, 'Tracking ID:id-TimeStamp:1970-01-01T00:00:00.000Z');
  t.strictSame(problems, [{ path: '$' }]);
  t.end();
});
