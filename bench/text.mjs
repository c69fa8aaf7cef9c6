import { seededRandom } from './random.mjs';

const VOCABULARY_SIZE = 30_000;
const DRAW_TABLE_SIZE = 1 << 17;
/** No line is longer: 4 sentences of 20 words of at most 25 letters come to 2 KiB. */
const MAX_LINE_BYTES = 4096;

/**
 * Fills buffers with text such as a server keeps: prose, log lines and JSON records over a vocabulary whose words are as
 * unequally frequent as in a language (Zipf's law). zstd level 3 makes it about 2.5 to 3 times smaller. The text is
 * drawn word by word and never repeats at length, so it gives nothing away to tools that deduplicate.
 * @returns {(buffer: Buffer) => void}
 */
export function textSource(seed) {
  const draw = drawSource(seed);
  const { bytes, starts, ends } = vocabulary();
  const table = zipfTable();
  const line = Buffer.alloc(MAX_LINE_BYTES);
  let carried = Buffer.alloc(0);

  return (buffer) => {
    let at = carried.copy(buffer);
    carried = carried.subarray(at);
    while (at < buffer.length) {
      if (buffer.length - at > MAX_LINE_BYTES) at = writeLine(buffer, at);
      else {
        const whole = line.subarray(0, writeLine(line, 0));
        const fits = whole.copy(buffer, at);
        at += fits;
        carried = whole.subarray(fits);
      }
    }
  };

  function writeLine(buffer, at) {
    const kind = draw() & 15;
    if (kind < 8) return writeProse(buffer, at);
    return kind < 12 ? writeRecord(buffer, at) : writeLogLine(buffer, at);
  }

  function writeProse(buffer, at) {
    let to = at;
    for (let sentences = 1 + (draw() & 3); sentences > 0; sentences--) {
      for (let words = 5 + (draw() & 15); words > 0; words--) to = writeWord(buffer, to);
      buffer[to - 1] = 0x2e;
      buffer[to++] = 0x20;
    }
    buffer[to - 1] = 0x0a;
    return to;
  }

  function writeRecord(buffer, at) {
    let to = at + buffer.write(`{"id": ${draw()}, "status": "`, at, 'latin1');
    to += buffer.write(['active', 'closed', 'waiting', 'unknown'][draw() & 3], to, 'latin1');
    to += buffer.write('", "updated_at": "2025-', to, 'latin1');
    to += buffer.write(
      `${two(1 + (draw() % 12))}-${two(1 + (draw() % 28))}T${two(draw() % 24)}`,
      to,
      'latin1',
    );
    to += buffer.write(':00:00Z", "title": "', to, 'latin1');
    for (let words = 3 + (draw() & 7); words > 0; words--) to = writeWord(buffer, to);
    return to - 1 + buffer.write('"}\n', to - 1, 'latin1');
  }

  function writeLogLine(buffer, at) {
    const time = `2025-${two(1 + (draw() % 12))}-${two(1 + (draw() % 28))} ${two(draw() % 24)}:${two(draw() % 60)}`;
    let to =
      at + buffer.write(`${time} INFO request GET /api/v1/items/${draw() % 100_000} 200 `, at, 'latin1');
    for (let words = 2 + (draw() & 3); words > 0; words--) to = writeWord(buffer, to);
    buffer[to - 1] = 0x0a;
    return to;
  }

  function writeWord(buffer, at) {
    const word = table[draw() & (DRAW_TABLE_SIZE - 1)];
    let to = at;
    for (let from = starts[word], end = ends[word]; from < end; from++) buffer[to++] = bytes[from];
    buffer[to++] = 0x20;
    return to;
  }
}

/** xorshift32, shifted down: 31 bits a call, faster than a number in [0, 1). */
function drawSource(seed) {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 1;
  };
}

/** Made-up words of 2 to 14 letters out of syllables; the frequent ones (the first) are the short ones. */
function vocabulary() {
  const random = seededRandom(7);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const onsets = 'b c d f g h j k l m n p r s t v w st tr pl ch sh th'.split(' ');
  const vowels = 'a e i o u a e i o ea ou'.split(' ');
  const codas = ['', '', '', 'n', 'r', 's', 't', 'l', 'nd', 'ng'];
  const words = new Set();
  while (words.size < VOCABULARY_SIZE) {
    const syllables = 1 + Math.floor(random() * Math.min(4, 1 + words.size / 200));
    words.add(Array.from({ length: syllables }, () => pick(onsets) + pick(vowels) + pick(codas)).join(''));
  }
  const bytes = Buffer.from([...words].join(''), 'latin1');
  const starts = [];
  const ends = [];
  for (const word of words) {
    starts.push(ends.at(-1) ?? 0);
    ends.push((ends.at(-1) ?? 0) + word.length);
  }
  return { bytes, starts: Uint32Array.from(starts), ends: Uint32Array.from(ends) };
}

/** Word numbers, each as often as its rank deserves: weight 1 / (rank + 20), after Mandelbrot. */
function zipfTable() {
  const weights = Array.from({ length: VOCABULARY_SIZE }, (_, rank) => 1 / (rank + 20));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const table = new Uint16Array(DRAW_TABLE_SIZE);
  let slot = 0;
  let sum = 0;
  for (const [word, weight] of weights.entries()) {
    sum += weight;
    const end = Math.round((sum / total) * DRAW_TABLE_SIZE);
    while (slot < end) table[slot++] = word;
  }
  return table;
}

function two(number) {
  return number < 10 ? `0${number}` : String(number);
}
