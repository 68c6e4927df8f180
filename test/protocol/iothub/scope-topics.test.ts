import t from 'tap';
import {
  parseScopeNews,
  parseScopeRequest,
  scopeChangedTopic,
  scopeFilter,
  scopeRequestTopic,
  scopeResponseTopic,
} from '../../../src/protocol/iothub/scope-topics.ts';
import { parseDeviceTopic, parseServerTopic } from '../../../src/protocol/iothub/topics.ts';
import { topicMatches } from '../../../src/protocol/mqtt/topic.ts';

t.test('what is written is read, and belongs to nothing else', (t) => {
  t.same(parseScopeRequest(scopeRequestTopic('1f')), { rid: '1f', after: undefined });
  t.same(parseScopeRequest(scopeRequestTopic('1f', 'leaf/m&$')), { rid: '1f', after: 'leaf/m&$' });
  t.same(parseScopeNews(scopeResponseTopic(404, '2')), { kind: 'scope-response', status: 404, rid: '2' });
  t.same(parseScopeNews(scopeChangedTopic('0af3')), { kind: 'scope-changed', version: '0af3' });
  for (const topic of [scopeResponseTopic(200, '1'), scopeChangedTopic('v')]) t.ok(topicMatches(scopeFilter, topic));
  for (const topic of [scopeRequestTopic('1'), scopeResponseTopic(200, '1'), scopeChangedTopic('v')]) {
    t.equal(parseDeviceTopic(topic), undefined);
    t.equal(parseServerTopic(topic), undefined);
  }
  t.end();
});

t.test('anything else is no such topic', (t) => {
  for (const topic of [
    '$iothub/scope/GET/',
    '$iothub/scope/GET/?$rid=',
    '$iothub/scope/GET/?$rid=1&$after=%zz',
    '$iothub/scope/get/?$rid=1',
    '',
  ])
    t.equal(parseScopeRequest(topic), undefined, topic);
  for (const topic of [
    '$iothub/scope/res/x/?$rid=1',
    '$iothub/scope/res/200/',
    '$iothub/scope/changed/?$version=',
    '$iothub/twin/res/200/?$rid=1',
  ])
    t.equal(parseScopeNews(topic), undefined, topic);
  t.end();
});
