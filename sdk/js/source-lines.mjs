// Which line of the author's files each line of a bundle comes from, read from the source map of esbuild.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** The numbers of one segment: digits of base 64 with five bits of a number each, the lowest bit of a number being its sign. */
function numbers(segment) {
  const found = [];
  let [value, shift] = [0, 0];
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value |= (bits & 31) << shift;
    shift += 5;
    if ((bits & 32) === 0) {
      found.push((value & 1) === 1 ? -(value >> 1) : value >> 1);
      [value, shift] = [0, 0];
    }
  }
  return found;
}

/** `tool.js:16` by the number of a line of the bundle, for lines of those files for which `nameOf` gives a name. */
export function sourceLines({ mappings, sources }, nameOf) {
  const lines = {};
  let [source, line] = [0, 0];
  mappings.split(';').forEach((segments, generated) => {
    for (const segment of segments.split(',').filter((one) => one !== '')) {
      const [, sourceStep = 0, lineStep = 0] = numbers(segment);
      source += sourceStep;
      line += lineStep;
      const name = nameOf(sources[source]);
      if (name !== undefined) lines[generated + 1] ??= `${name}:${line + 1}`;
    }
  });
  return lines;
}
