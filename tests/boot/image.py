"""The machine's image: a Debian with what Amazon Linux 2023 has for Parris, and cloud-init.

Made by mmdebstrap in a mount, UTS and process namespace of its own, kept by the hash of its recipe.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.boot.tools import Tools
from tests.debian import Missing

SUITE = "bookworm"
"""Debian 12: its systemd is 252, as Amazon Linux 2023's."""
NEWEST = "trixie"
"""Debian 13, the newest: its systemd is 257."""

SIZE = "2G"
PACKAGES = (
    "ca-certificates",
    "awscli",
    "cloud-init",
    "dbus",
    "initramfs-tools",
    "iproute2",
    "isc-dhcp-client",
    "kmod",
    "linux-image-cloud-amd64",
    "lz4",
    "procps",
    "python3",
    "sudo",
    "systemd-sysv",
    "udev",
    "util-linux",
)

FILES = {
    # The disk is as large as its file; on EC2 cloud-init lets both grow with the volume.
    "etc/cloud/cloud.cfg.d/90-boot.cfg": (
        "resize_rootfs: false\n"
        'growpart: {mode: "off"}\n'
        # Of what cloud-init does, what this is about: EC2's metadata, its network, user data.
        "datasource_list: [Ec2]\n"
        "cloud_init_modules: []\n"
        "cloud_config_modules: []\n"
        "cloud_final_modules: [scripts-user]\n"
        "ssh_genkeytypes: []\n"  # there is no SSH server
        "locale: C.UTF-8\n"  # the only one that a minimal image has
        "system_info: {network: {renderers: [networkd]}}\n"
    ),
    # What the virtual machine has; by default the first file system has drivers for everything.
    "etc/initramfs-tools/conf.d/boot.conf": "MODULES=list\nCOMPRESS=lz4\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n",
    "etc/systemd/journald.conf.d/boot.conf": "[Journal]\nStorage=volatile\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/hostname": "machine\n",
    # Amazon's own resolver; by TCP, since QEMU forwards no UDP.
    "etc/resolv.conf": "nameserver 169.254.169.253\noptions use-vc timeout:2 attempts:2\n",
}

COMMANDS = (
    "update-ca-certificates",
    "update-initramfs -u",
    "systemctl enable systemd-networkd.service",
    "systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer"
    " e2scrub_reap.service dpkg-db-backup.timer fstrim.timer getty@tty1.service"
    " serial-getty@ttyS0.service systemd-pstore.service systemd-update-utmp.service",
)
"""Run in the image, as its root: what an image for a cloud has done already."""

AUTHORITY = "usr/local/share/ca-certificates/parris-boot.crt"


UNREACHABLE = re.compile(
    "Could not resolve|Temporary failure resolving|Could not connect|Unable to connect|timed out"
)
"""What apt says where nobody answers."""


class Broken(Exception):
    """The recipe of the image is wrong; the text has the last words of whoever followed it."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """What QEMU boots: kernel, first file system and disk, the last of which no boot changes."""

    kernel: Path
    initrd: Path
    disk: Path


def recipe_hash(authority: str, suite: str = SUITE) -> str:
    """Return what stands for all that an image is made of, `authority`'s certificate included."""
    recipe = [suite, SIZE, PACKAGES, FILES, COMMANDS, AUTHORITY, authority]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]


def build(tools: Tools, folder: Path, authority: str, suite: str = SUITE) -> Image:
    """Return the image in `folder`, made if it is not there.

    Args:
        folder: for images of this suite; one of another recipe goes.
        authority: the certificate, PEM, that the image trusts beside those of the world.

    Raises:
        Missing: if the mirror of Debian's packages cannot be reached.
        Broken: if the image cannot be made for another reason.
    """
    made = folder / recipe_hash(authority, suite)
    image = Image(kernel=made / "vmlinuz", initrd=made / "initrd.img", disk=made / "disk.raw")
    if image.disk.exists():
        return image
    shutil.rmtree(folder, ignore_errors=True)  # of another recipe, or half made
    made.mkdir(parents=True)
    _write_files(made / "files.tar", {**FILES, AUTHORITY: authority})
    archive = made / "root.tar"
    # Root needs no help, but in namespaces of its own it can rename and mount nothing of the host,
    # and all of it ends with whoever ends us.
    spaces = ("--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
    alone = ("unshare", *spaces) if tools.root else ()
    # mmdebstrap itself reads the file, as the user; what runs within has other ids, for which a
    # user's folders are shut.
    hooks = [f"--customize-hook=tar-in {shlex.quote(str(made / 'files.tar'))} /"]
    hooks += [f"--customize-hook=chroot \"$1\" sh -c '{command}'" for command in COMMANDS]
    mode = "--mode=root" if tools.root else "--mode=unshare"
    include = f"--include={','.join(PACKAGES)}"
    variant = "--variant=minbase"
    _run(tools, *alone, "mmdebstrap", mode, variant, include, *hooks, suite, str(archive))
    _make_disk(tools, archive, made)
    shutil.copy(made / "root" / "vmlinuz", image.kernel)
    shutil.copy(made / "root" / "initrd.img", image.initrd)
    shutil.rmtree(made / "root")
    (made / "files.tar").unlink()
    archive.unlink()
    (made / "disk.new").rename(image.disk)  # last: an image that is there is whole
    return image


def _write_files(path: Path, files: dict[str, str]) -> None:
    """Write an archive of files that are root's, and that all may read."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)  # of root, mode 0644
            about.size = len(content.encode())
            archive.addfile(about, io.BytesIO(content.encode()))


def _make_disk(tools: Tools, archive: Path, made: Path) -> None:
    """Put the archive's files on a disk; the kernel fills /dev itself."""
    (made / "root").mkdir()
    script = (
        'tar --extract --file="$1" --directory="$2" --exclude="./dev/*" --numeric-owner'
        ' && mke2fs -q -t ext4 -d "$2" "$3" "$4"'
    )
    argv = ["sh", "-c", script, "sh", str(archive), str(made / "root")]
    argv += [str(made / "disk.new"), SIZE]
    _run(tools, *([] if tools.root else ["fakeroot"]), *argv)


def _run(tools: Tools, *argv: str) -> None:
    try:
        tools.run(*argv)
    except subprocess.CalledProcessError as error:
        said = "\n".join(error.stderr.strip().splitlines()[-8:])
        why = f"the image could not be made: {said}"
        raise (Missing if UNREACHABLE.search(said) else Broken)(why) from error
