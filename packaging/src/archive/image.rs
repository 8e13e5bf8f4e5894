//! A container image (OCI image specification 1.1) with the program and nothing else, as one file:
//! `podman load`, `docker load` and `skopeo copy oci-archive:` read it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::EntryType;

use super::{Tar, sha256, write};
use crate::{
    contents::NAMES,
    control::{NAME, Package},
    error::{Context, Result},
};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// How hard zstd tries: a sixth smaller than gzip can.
const LEVEL: i32 = 19;
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Packs the program. Gives the image's path.
pub(crate) fn build(package: &Package, program: &Path, out: &Path) -> Result<PathBuf> {
    let mut files = Tar::new(package.date);
    // For the notes of subcommands: an engine can mount something on it.
    files.directory("run/")?;
    files.directory("usr/")?;
    files.directory("usr/sbin/")?;
    let binary = std::fs::read(program).context(|| format!("read {}", program.display()))?;
    files.entry(&format!("usr/sbin/{NAME}"), EntryType::Regular, 0o755, "", &binary)?;
    for name in NAMES {
        files.entry(&format!("usr/sbin/{name}"), EntryType::Symlink, 0o777, NAME, &[])?;
    }
    let files = files.finish()?;
    let mut image = Tar::new(package.date);
    image.directory("blobs/")?;
    image.directory("blobs/sha256/")?;
    let mut blob = |kind: &str, content: &[u8]| -> Result<Value> {
        let hash = sha256(content);
        image.entry(&format!("blobs/sha256/{hash}"), EntryType::Regular, 0o644, "", content)?;
        Ok(json!({ "mediaType": kind, "digest": format!("sha256:{hash}"), "size": content.len() }))
    };
    let packed = zstd::encode_all(files.as_slice(), LEVEL).context(|| "compress".into())?;
    let layer = blob(LAYER, &packed)?;
    let created = package.date.for_image();
    let config = blob(
        CONFIG,
        json!({
            "created": created,
            "architecture": package.machine.oci,
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/sbin"],
                "Cmd": [NAME, "--help"],
                "Labels": {
                    "org.opencontainers.image.title": NAME,
                    "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                    "org.opencontainers.image.licenses": "MIT OR Apache-2.0"
                }
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&files))] },
            "history": [{ "created": created, "created_by": "cargo lab release" }]
        })
        .to_string()
        .as_bytes(),
    )?;
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let mut manifest = blob(MANIFEST, manifest.to_string().as_bytes())?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": package.version() });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] }).to_string();
    image.entry("index.json", EntryType::Regular, 0o644, "", index.as_bytes())?;
    image.entry("oci-layout", EntryType::Regular, 0o644, "", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    write(out, &package.image_name(), &image.finish()?)
}
