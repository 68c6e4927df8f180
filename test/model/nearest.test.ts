import t from 'tap';
import { nearestName } from '../../src/model/nearest.ts';

const known = ['status', 'list', 'logs', 'restart', 'store.quota', 'store.commit_delay'];

t.equal(nearestName('statsu', known), 'status', 'swapped letters are found');
t.equal(nearestName('LIST', known), 'list', 'case does not count');
t.equal(nearestName('store.qouta', known), 'store.quota', 'a key with a slip is found');
t.equal(nearestName('teleport', known), undefined, 'nothing near is nothing');
t.equal(nearestName('xy', ['ab']), undefined, 'replacing every letter is not near');
t.equal(nearestName('a', []), undefined, 'nothing is known, nothing is near');
