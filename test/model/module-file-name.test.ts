import t from 'tap';
import { moduleFileName, moduleOfFileName } from '../../src/model/module-file-name.ts';

t.test('names become safe file names and back', async (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['simulated-temperature_Sensor.1', 'simulated-temperature_Sensor.1'],
    ['$edgeHub', '%24edgeHub'],
    ['..', '%2E.'],
    ['.hidden', '%2Ehidden'],
    ['../../etc/passwd', '%2E.%2F..%2Fetc%2Fpasswd'],
    ['a b\n\0', 'a%20b%0A%00'],
    ['Maß', 'Ma%C3%9F'],
    ['50%', '50%25'],
  ];
  for (const [name, fileName] of rows) {
    t.equal(moduleFileName(name), fileName);
    t.equal(moduleOfFileName(fileName), name);
  }
});

t.test('names that cannot be file names are refused', async (t) => {
  t.equal(moduleFileName(''), undefined);
  t.equal(moduleFileName('a'.repeat(201)), undefined);
  t.equal(moduleFileName('/'.repeat(67)), undefined);
  t.ok(moduleFileName('a'.repeat(200)));
});

t.test('file names that no module can have are not taken for one', async (t) => {
  for (const fileName of ['.tmp', 'a b', '%2f', '%zz', '', '%61', 'a%'])
    t.equal(moduleOfFileName(fileName), undefined, fileName);
});
