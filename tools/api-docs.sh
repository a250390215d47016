#!/bin/sh
# Put Scalar, from its npm package, where the page /docs serves it. The package's script has in it
# all that it needs; the two hundred packages that it was made of are not installed.
set -eu
target=$1
version=1.72.1
sum=5e9109d2b7dcfdc5db0ab47e882e242b4a3f5b05f6753b4641b4f4e3d3a53ca0070fa20c205753786cf6afe336ecfd840d62b25084d19bf37394ff33da9c3f3b
licence=$(dirname "$target")/scalar.LICENSE

grep -qs "Scalar $version" "$target" && [ -f "$target.gz" ] && exit 0
if ! command -v npm >/dev/null; then
    [ -f "$target" ] && exit 0
    echo "For the interactive page at /docs: apt install npm (it lists the requests without it)" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm pack --silent --prefer-offline --pack-destination "$work" "@scalar/api-reference@$version" >"$work/name"
package=$work/$(cat "$work/name")
echo "$sum  $package" | sha512sum --check --status || {
    echo "@scalar/api-reference $version is not the package that was looked at" >&2
    exit 1
}
tar -xzf "$package" -C "$work" package/dist/browser/standalone.js
{
    printf '/*! Scalar %s\n\n' "$version"
    cat "$licence"
    printf '*/\n'
    grep -v '^//# sourceMappingURL=' "$work/package/dist/browser/standalone.js"
} >"$work/scalar.js"
gzip -9 --no-name --keep "$work/scalar.js"
mv "$work/scalar.js" "$work/scalar.js.gz" "$(dirname "$target")"
