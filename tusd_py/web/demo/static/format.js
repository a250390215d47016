// Sizes, speeds, durations and dates as a person reads them.

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

export function bytes(size) {
  let value = size;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** "16.8 of 35.0 MB", or with both units where they differ. */
export function share(part, whole) {
  const [partNumber, partUnit] = bytes(part).split(" ");
  const isSameUnit = bytes(whole).endsWith(` ${partUnit}`);
  return `${isSameUnit ? partNumber : bytes(part)} of ${bytes(whole)}`;
}

export function speed(bytesPerSecond) {
  return `${bytes(bytesPerSecond)}/s`;
}

export function duration(seconds) {
  if (seconds < 1) return "under a second";
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} days`;
}

export function ago(date, now = new Date()) {
  const seconds = (now - date) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 24 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return date.toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}

export function extension(name) {
  const match = /\.([\p{L}\p{N}]{1,4})$/u.exec(name);
  return match ? match[1].toUpperCase() : "";
}

export function family(type, name) {
  const end = extension(name).toLowerCase();
  if (/^(zip|gz|xz|zst|bz2|7z|rar|tar|tgz|iso)$/.test(end)) return "archive";
  for (const kind of ["image", "video", "audio", "text"]) {
    if (type?.startsWith(`${kind}/`)) return kind;
  }
  if (/^(mp4|mkv|mov|webm|avi)$/.test(end)) return "video";
  if (/^(mp3|wav|flac|ogg|m4a|opus)$/.test(end)) return "audio";
  if (/^(jpe?g|png|gif|webp|heic|svg|tiff?)$/.test(end)) return "image";
  if (/^(txt|md|csv|json|pdf|docx?|xlsx?)$/.test(end)) return "text";
  return "other";
}
