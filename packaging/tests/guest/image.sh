# The container image: taken apart as an engine does, run by chroot and unshare in a root directory that has nothing else.
. "${0%/*}/system.sh"

files=("$packages"/ipvs-cli-*-1-*.oci.tar)
image=${files[0]}
length=$(stat --format %s "$image")
[ "$length" -le 2000000 ] || fail "the image has $length bytes"

blobs=/tmp/image
mkdir $blobs
tar -C $blobs -xf "$image"
same 'the layout' "$(cat $blobs/oci-layout)" '{"imageLayoutVersion":"1.0.0"}'
for blob in $blobs/blobs/sha256/*; do
    same 'the name of a blob' "$(sha256sum <$blob | cut -d' ' -f1)" "${blob##*/}"
done

# The value of a digest in a document, by the key that is before it.
digest() {
    grep -o "\"$2\":[^]}]*\"digest\":\"sha256:[0-9a-f]*\"" "$1" | grep -o '[0-9a-f]\{64\}'
}
first_digest() {
    grep -o '"digest":"sha256:[0-9a-f]\{64\}"' "$1" | grep -o '[0-9a-f]\{64\}' | head -1
}
manifest=$blobs/blobs/sha256/$(first_digest $blobs/index.json)
layer=$blobs/blobs/sha256/$(digest "$manifest" layers)
config=$blobs/blobs/sha256/$(digest "$manifest" config)
# The guest itself has no zstd.
chroot "$LAB_DEBIAN" zstd --decompress --stdout <"$layer" >/tmp/layer.tar
same 'the layer, as the configuration has it' "$(sha256sum </tmp/layer.tar | cut -d' ' -f1)" \
    "$(grep -o '"diff_ids":\["sha256:[0-9a-f]*"' "$config" | grep -o '[0-9a-f]\{64\}')"

root=/tmp/container
mkdir $root
tar -C $root -xf /tmp/layer.tar
same 'what is in it' "$(cd $root && find . ! -type d | sort | tr '\n' ' ')" \
    './usr/sbin/ipvs-cli ./usr/sbin/ipvsadm ./usr/sbin/ipvsadm-restore ./usr/sbin/ipvsadm-save '

. "${0%/*}/container.sh"
