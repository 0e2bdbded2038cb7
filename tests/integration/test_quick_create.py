#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests that vmctl makes: of packages, by an mmdebstrap that has them already, and of images."""

import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from rig import FAILED, OK, USAGE, VMCTL, arguments, main, wait_until  # noqa: E402
from terminal import TerminalTest  # noqa: E402

TIMEOUT = 300  # seconds, for a guest that is made where much else is done
LIBEXEC = arguments.source / "packaging/libexec"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q it's me"
KERNEL = "vmlinuz-6.1.0-10-cloud-amd64"
INITRD = "initrd.img-6.1.0-10-cloud-amd64"

# What is said and done depends on the file "mode" in the test's folder.
MMDEBSTRAP = r"""#!/bin/sh
folder=$(dirname "$(dirname "$0")")
mode=$(cat "$folder/mode")
printf '%s\n' "$@" >"$folder/words"
cat >"$folder/sources"
for step in 'running apt-get update' 'downloading packages with apt' 'extracting archives' \
	'installing essential packages' 'installing remaining packages' \
	'cleaning package lists and apt cache'; do
	echo "I: $step..." >&2
done
case $mode in
fail) printf 'E: no such mirror \033[31m\n' >&2 && exit 1 ;;
wait) echo $$ >"$folder/waits" && cat "$folder/fifo" >/dev/null ;;
esac
exec tar -C "$folder/tree" --owner 0 --group 0 -c .
"""


def kernel(text):
    """What has the mark of a bzImage."""
    return bytes(514) + b"HdrS" + text.encode()


class QuickCreate(TerminalTest):
    vmms_arguments = ("--shutdown-timeout", "0")

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("it takes root to make files of others")
        super().setUp()
        self.images = self.folder / "images"
        self.home = self.folder / "home"
        (self.home / ".ssh").mkdir(parents=True)
        (self.home / ".ssh/id_ed25519.pub").write_text(KEY + "\n")
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        (self.bin / "mmdebstrap").write_text(MMDEBSTRAP)
        (self.bin / "mmdebstrap").chmod(0o755)
        self.make_tree()
        self.mode("work")
        self.environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.home),
                            "VMCTL_LIBEXEC": str(LIBEXEC), "TMPDIR": str(self.folder),
                            "XDG_DATA_HOME": str(self.folder / "data")}

    def mode(self, mode):
        (self.folder / "mode").write_text(mode)

    def make_tree(self):
        """A guest's files, as far as they are looked at."""
        tree = self.folder / "tree"
        for path, content in {
                "boot/vmlinuz-6.1.0-9-cloud-amd64": kernel("old"),
                "boot/initrd.img-6.1.0-9-cloud-amd64": b"old",
                f"boot/{KERNEL}": kernel("new"), f"boot/{INITRD}": b"its initramfs",
                "etc/passwd": b"root:x:0:0::/root:/bin/sh\ndebian:x:1000:1000::/home/debian:/bin/sh\n",
                "etc/shadow": b"root:*:1:0:9:7:::\ndebian:!:1:0:9:7:::\n",
                "etc/apt/apt.conf.d/99mmdebstrap": b"Acquire::http::Proxy \"secret\";\n"}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        (tree / "home/debian").mkdir(parents=True)
        tree.chmod(0o755)

    # ---- Shorthands ----

    def words(self, *words):
        size = [] if "--disk-size" in words else ["--disk-size", "1G"]
        return ["quick-create", "debian", *words, *size, "--directory", str(self.images)]

    def quick(self, *words, **more):
        """Makes a guest; what --json says of it."""
        return json.loads(self.ok(*self.words(*words), "--json", env=self.environment,
                                  timeout=TIMEOUT, **more))

    def refuse(self, status, *words, says, name="debian", **more):
        """It is refused, and nothing is left."""
        before = self.listing()
        error = self.refused(status, *self.words(*words), says=says,
                             env={**self.environment, **more.pop("environment", {})},
                             timeout=TIMEOUT, **more)
        self.assertEqual(self.listing(), before)
        return error

    def listing(self):
        return (json.loads(self.ok("list", "--json")),
                sorted(map(str, self.images.rglob("*"))) if self.images.exists() else [])

    def definition(self, name="debian"):
        return json.loads(self.ok("export", name, "--definition"))

    def ask_disk(self, request, name="debian"):
        """debugfs(8) about the disk."""
        return subprocess.run(["/usr/sbin/debugfs", "-R", request, self.images / name / "disk.raw"],
                              capture_output=True, text=True, check=True).stdout

    def crypt_matches(self, password, shadow):
        hashed = shadow.split(":")[1]
        again = subprocess.run(["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, hashed],
                               capture_output=True, text=True, check=True).stdout
        return hashed == again

    # ---- Of packages ----

    def test_a_guest_of_packages(self):
        made = self.quick("--suite", "trixie", "--mirror", "http://mirror.invalid/debian")
        folder = self.images / "debian"
        self.assertEqual(made["folder"], str(folder))
        self.assertTrue(made["started"])
        self.wait_state("running", "debian")
        self.assertEqual(sorted(path.name for path in folder.iterdir()),
                         ["disk.raw", "initrd.img", "vmlinuz"])
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual((folder / "vmlinuz").read_bytes(), kernel("new"))
        self.assertEqual((folder / "initrd.img").read_bytes(), b"its initramfs")
        definition = self.definition()
        self.assertEqual(definition["boot"], {"kernel": f"{folder}/vmlinuz",
                                              "initrd": f"{folder}/initrd.img",
                                              "command_line": "console=ttyS0 root=LABEL=root ro"})
        self.assertEqual([disk["path"] for disk in definition["disks"]], [f"{folder}/disk.raw"])
        self.assertEqual(definition["network_adapters"][0]["forward"],
                         [f"tcp:127.0.0.1:{made['ssh_port']}:22"])
        self.assertEqual((folder / "disk.raw").stat().st_size, 1 << 30)
        self.check_files(made)
        self.assertRegex((self.folder / "sources").read_text(),
                         r"^deb (\[signed-by=\S+\] )?http://mirror.invalid/debian trixie main\n$")
        words = (self.folder / "words").read_text()
        for part in "--mode=root", "linux-image-cloud-amd64", "hyperv-daemons", "hv_storvsc":
            self.assertIn(part, words)

    def check_files(self, made):
        """What the guest has of what it was given, and who they belong to."""
        shadow = next(line for line in self.ask_disk("cat /etc/shadow").splitlines()
                      if line.startswith("debian:"))
        self.assertTrue(self.crypt_matches(made["password"], shadow), shadow)
        self.assertEqual(self.ask_disk("cat /home/debian/.ssh/authorized_keys"), KEY + "\n")
        self.assertRegex(self.ask_disk("stat /home/debian/.ssh/authorized_keys"),
                         r"Mode:  0600 [^\n]*\n[^\n]*\nUser:  1000   Group:  1000")
        self.assertEqual(self.ask_disk("cat /etc/hostname"), "debian\n")
        self.assertIn("PasswordAuthentication no",
                      self.ask_disk("cat /etc/ssh/sshd_config.d/10-keys-only.conf"))
        self.assertIn("DHCP=yes", self.ask_disk("cat /etc/systemd/network/80-ethernet.network"))
        self.assertNotIn("99mmdebstrap", self.ask_disk("ls /etc/apt/apt.conf.d"))
        self.assertRegex(self.ask_disk("stat /etc/shadow"), r"User: +0 +Group: +0")

    def test_names_keys_ports_and_sizes(self):
        (self.home / ".ssh/id_ed25519.pub").unlink()
        out = self.ok(*self.words("My_web.1", "--no-start", "--disk-size", "2G", "--memory", "2G",
                                  "--vps", "3"), env=self.environment, timeout=TIMEOUT)
        password = out.split("password ")[1].split()[0]
        port = int(out.split("ssh -p ")[1].split()[0])
        self.assertIn("vmctl start My_web.1", out)
        self.assertIn("vmctl console My_web.1", out)
        self.assertEqual(self.show("My_web.1")["state"], "off")
        self.assertEqual(self.ask_disk("cat /etc/hostname", "My_web.1"), "my-web-1\n")
        self.assertGreaterEqual(len(password), 16)
        # Without a key the password has to do.
        self.assertEqual(self.ask_disk("cat /etc/ssh/sshd_config.d/10-keys-only.conf", "My_web.1"),
                         "")
        definition = self.definition("My_web.1")
        self.assertEqual(definition["memory"]["size"], "2G")
        self.assertEqual(definition["processors"]["count"], 3)
        self.assertEqual((self.images / "My_web.1/disk.raw").stat().st_size, 2 << 30)
        # The port of a VM that is off is taken, too.
        again = self.quick("two", "--no-start")
        self.assertNotEqual(again["ssh_port"], port)
        self.assertEqual(self.quick("three", "--no-start", "--ssh-port", "40022")["ssh_port"], 40022)
        self.assertNotEqual(again["password"], password)
        # Keys by a pipe.
        self.quick("four", "--no-start", "--ssh-key", "-", stdin=KEY.replace("me", "you") + "\n" + KEY)
        self.assertEqual(self.ask_disk("cat /home/debian/.ssh/authorized_keys", "four"),
                         KEY.replace("me", "you") + "\n" + KEY + "\n")

    def test_wrong_usage(self):
        self.refuse(USAGE, "bad/name", says="no name for a VM")
        self.refuse(USAGE, "--disk-size", "7", says="--disk-size")
        self.refuse(USAGE, "--memory", "1", says="--memory")
        self.refuse(USAGE, "--vps", "0", says="--vps")
        self.refuse(USAGE, "--image", "x", "--suite", "sid", says="--suite")
        self.refuse(FAILED, "--suite", "Bad Suite", says="no name of a Debian release")
        self.refuse(FAILED, "--mirror", "mirror.invalid", says="takes a URL")
        self.refuse(FAILED, "--ssh-key", "/nowhere", says="/nowhere cannot be read")
        private = self.folder / "key"
        private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        self.refuse(FAILED, "--ssh-key", private, says="is a private key")
        private.write_text("nonsense\n")
        self.refuse(FAILED, "--ssh-key", private, says="no public key")

    def test_what_is_there_stays(self):
        self.quick("--no-start")
        before = hashlib.sha256((self.images / "debian/vmlinuz").read_bytes()).digest()
        self.refuse(FAILED, says="there is a VM 'debian' already")
        self.ok("delete", "debian")
        self.refuse(FAILED, says="is there already")
        after = hashlib.sha256((self.images / "debian/vmlinuz").read_bytes()).digest()
        self.assertEqual(before, after)

    def test_what_fails_leaves_nothing(self):
        self.mode("fail")
        error = self.refuse(FAILED, says="E: no such mirror \\x1b[31m")
        self.assertTrue(error.endswith("could not be made\n"), error)
        self.mode("work")
        (self.folder / "tree/boot" / INITRD).unlink()
        self.refuse(FAILED, says="has no initramfs")
        shutil.rmtree(self.folder / "tree/boot")
        (self.folder / "tree/boot").mkdir()
        self.refuse(FAILED, says="no kernel was installed")
        self.refuse(FAILED, says="cannot be run", environment={"VMCTL_LIBEXEC": "/nowhere"})

    def test_no_room(self):
        self.refuse(FAILED, says="could not be made",
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))

    def test_a_program_that_is_missing(self):
        (self.bin / "mmdebstrap").unlink()
        for program in pathlib.Path("/usr/bin").iterdir():
            if program.name not in ("mmdebstrap", "genisoimage", "mkisofs", "xorrisofs"):
                (self.bin / program.name).symlink_to(program)
        only_those = {"PATH": str(self.bin)}
        self.refuse(FAILED, says="mmdebstrap is missing: apt install mmdebstrap",
                    environment=only_those)
        self.refuse(FAILED, "--image", self.folder / "tree/boot" / KERNEL,
                    says="genisoimage is missing: apt install genisoimage", environment=only_those)

    def begin(self):
        """A guest that is being made, in the middle."""
        os.mkfifo(self.folder / "fifo")
        self.mode("wait")
        process = subprocess.Popen([VMCTL, "--address", self.address, *self.words()],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=self.environment)
        wait_until(lambda: (self.folder / "waits").exists(), "mmdebstrap")
        return process

    def test_interrupted(self):
        process = self.begin()
        self.assertTrue((self.images / "debian").exists())
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, FAILED)
        self.assertIn("interrupted; nothing is left", error)
        self.assertEqual(list(self.images.iterdir()), [])
        self.assertEqual(self.list()["vms"], [])

    def test_killed(self):
        process = self.begin()
        process.kill()
        process.communicate(timeout=TIMEOUT)
        wait_until(lambda: list(self.images.iterdir()) == [], "the folder to be gone")

    def test_a_name_that_is_taken_meanwhile(self):
        process = self.begin()
        self.create("debian")
        (self.folder / "fifo").write_text("go on")
        out, error = process.communicate(timeout=TIMEOUT)
        self.assertEqual((process.returncode, out), (FAILED, ""))
        self.assertIn("debian", error)
        self.assertEqual(list(self.images.iterdir()), [])

    def test_progress_on_a_terminal(self):
        os.mkfifo(self.folder / "fifo")
        self.mode("wait")
        self.open_program(VMCTL, "--address", self.address, *self.words(), **self.environment)
        self.expect(b"] 6 of 6, making the file system, ")
        (self.folder / "fifo").write_text("go on")
        self.expect(b"vmctl console debian")
        self.assertEqual(self.end(), OK)
        self.assertIn(b"debian: [####", self.output)

    # ---- Of images ----

    def file_system(self, path, tree, offset=0, size=32 << 20):
        with open(path, "ab") as image:
            image.truncate(max(offset + size, image.tell()))
        subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={offset}",
                        "-d", tree, path, f"{size >> 10}k"], check=True, capture_output=True)

    def partitioned(self, *trees):
        """An image with a partition table of the old kind, and a file system for each tree."""
        image = self.folder / "cloud.raw"
        image.write_bytes(b"")
        table = bytearray(512)
        for index, tree in enumerate(trees):
            start = 2048 + index * 65536
            self.file_system(image, tree, start * 512)
            table[446 + 16 * index:462 + 16 * index] = (
                bytes(4) + b"\x83" + bytes(3) + start.to_bytes(4, "little") +
                (65536).to_bytes(4, "little"))
        table[510:] = b"\x55\xaa"
        with open(image, "r+b") as file:
            file.write(table)
        return image

    def tree_of(self, name, *parts):
        """The parts of the guest's tree, as a tree of their own."""
        tree = self.folder / name
        tree.mkdir()
        for part in parts:
            shutil.copytree(self.folder / "tree" / part, tree / part)
        return tree

    def check_image(self, made, key=True):
        folder = self.images / "debian"
        self.assertEqual(sorted(path.name for path in folder.iterdir()),
                         ["disk.raw", "initrd.img", "seed.iso", "vmlinuz"])
        self.assertEqual((folder / "vmlinuz").read_bytes(), kernel("new"))
        self.assertEqual((folder / "initrd.img").read_bytes(), b"its initramfs")
        seed = (folder / "seed.iso").read_bytes()
        self.assertEqual(seed[0x8028:0x8048].strip(), b"cidata")
        for text in (b"#cloud-config\n", b"local-hostname: debian\n", b"  - name: debian\n",
                     b"      - '" + KEY.replace("'", "''").encode() + b"'\n", b"ssh_pwauth: false\n"):
            self.assertIn(text, seed)
        hashed = seed.split(b"passwd: '")[1].split(b"'")[0].decode()
        self.assertTrue(self.crypt_matches(made["password"], f"debian:{hashed}"))
        disks = self.definition()["disks"]
        self.assertEqual([(disk["path"], disk["read_only"]) for disk in disks],
                         [(f"{folder}/disk.raw", False), (f"{folder}/seed.iso", True)])

    def uuid(self, image, offset=0):
        with open(image, "rb") as file:
            file.seek(offset + 1024 + 104)
            text = file.read(16).hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def test_an_image_with_partitions(self):
        image = self.partitioned(self.folder / "tree")
        made = self.quick("--image", image)
        self.check_image(made)
        self.assertEqual(self.definition()["boot"]["command_line"],
                         f"console=ttyS0 root=UUID={self.uuid(image, 1 << 20)} ro ds=nocloud")
        self.assertEqual((self.images / "debian/disk.raw").stat().st_size, 1 << 30)
        self.wait_state("running", "debian")

    def test_an_image_whose_kernel_has_a_partition_of_its_own(self):
        boot = self.folder / "tree/boot"
        image = self.partitioned(boot, self.tree_of("root", "etc", "home"))
        made = self.quick("--image", image, "--no-start")
        self.check_image(made)
        self.assertIn(f"root=UUID={self.uuid(image, (2048 + 65536) * 512)} ",
                      self.definition()["boot"]["command_line"])

    @unittest.skipUnless(shutil.which("qemu-img"), "no qemu-img")
    def test_an_image_in_qcow2(self):
        raw, image = self.folder / "whole.raw", self.folder / "cloud.qcow2"
        self.file_system(raw, self.folder / "tree")
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
        self.check_image(self.quick("--image", image, "--no-start"))

    @unittest.skipUnless(shutil.which("qemu-img"), "no qemu-img")
    def test_who_reads_an_image(self):
        """Not root: an image may be made to take over the program that does."""
        seen = self.folder / "seen"
        seen.mkdir()
        seen.chmod(0o777)
        for name in "debugfs", "partx", "qemu-img":
            program = self.bin / name
            program.write_text(f"#!/bin/sh\ncat /proc/self/status >{seen}/{name}\n"
                               f"tail -n +3 /proc/net/dev | cut -d: -f1 >{seen}/{name}.net\n"
                               f'exec {shutil.which(name, path="/usr/sbin:/usr/bin")} "$@"\n')
            program.chmod(0o755)
        raw, image = self.folder / "whole.raw", self.folder / "cloud.qcow2"
        self.file_system(raw, self.folder / "tree")
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
        image.chmod(0o600)
        self.check_image(self.quick("--image", image, "--no-start"))
        for name in "debugfs", "partx", "qemu-img":
            found = dict(line.split(":\t", 1) for line in
                         (seen / name).read_text().splitlines() if ":\t" in line)
            self.assertEqual({*found["Uid"].split(), *found["Gid"].split()}, {"2147287039"})
            self.assertEqual((found["NoNewPrivs"], int(found["CapBnd"], 16),
                              int(found["CapEff"], 16)), ("1", 0, 0))
            self.assertEqual((seen / f"{name}.net").read_text().split(), ["lo"])
        for path in self.images.rglob("*"):
            self.assertEqual((path.stat().st_uid, path.stat().st_mode & 0o77), (0, 0), path)
        self.assertFalse((self.images / "debian/tools").exists())

    def test_an_image_that_has_taken_over(self):
        """What its reader leaves behind leads to nobody's files, and goes on with nothing."""
        secret = self.folder / "secret"
        secret.write_bytes(kernel("secret"))
        program = self.bin / "debugfs"
        program.write_text('#!/bin/sh\ncase $2 in\n'
                           f"dump*vmlinuz) ln -s {secret} vmlinuz; setsid sleep 1000 & ;;\n"
                           'esac\nexec /usr/sbin/debugfs "$@"\n')
        program.chmod(0o755)
        self.refuse(FAILED, "--image", self.partitioned(self.folder / "tree"),
                    says="have made no vmlinuz")
        self.assertEqual(subprocess.run(["pgrep", "-u", "2147287039"], check=False,
                                        stdout=subprocess.DEVNULL).returncode, 1)
        self.assertEqual(secret.read_bytes(), kernel("secret"))

    def test_an_image_that_names_other_files(self):
        def make(*words):
            subprocess.run(["qemu-img", "create", "-q", *words], check=True)
        secret, image = self.folder / "secret", self.folder / "cloud.qcow2"
        secret.write_bytes(bytes(1 << 20))
        make("-f", "qcow2", "-b", secret, "-F", "raw", image)
        self.refuse(FAILED, "--image", image, says="has a backing file")
        make("-f", "qcow2", "-o", f"data_file={self.folder}/data.raw", image, "1M")
        self.refuse(FAILED, "--image", image, says="data in another file")
        make("-f", "vmdk", "-o", "subformat=monolithicFlat", self.folder / "cloud.vmdk", "1M")
        self.refuse(FAILED, "--image", self.folder / "cloud.vmdk", says="neither raw nor qcow2")

    def test_an_image_that_cannot_be_started(self):
        self.refuse(FAILED, "--image", self.folder / "nowhere", says="cannot be read")
        empty = self.folder / "empty.raw"
        empty.write_bytes(bytes(1 << 20))
        self.refuse(FAILED, "--image", empty, says="no kernel with its initramfs was found")
        # A kernel without an initramfs, and one of another machine.
        boot = self.folder / "tree/boot"
        (boot / INITRD).rename(boot / "initrd")
        (boot / "initrd.img-6.1.0-9-cloud-amd64").unlink()
        self.refuse(FAILED, "--image", self.partitioned(self.folder / "tree"),
                    says="no kernel with its initramfs was found")
        (boot / "initrd").rename(boot / INITRD)
        (boot / KERNEL).write_bytes(bytes(4096))
        self.refuse(FAILED, "--image", self.partitioned(self.folder / "tree"),
                    says="no kernel for this processor")
        (boot / KERNEL).write_bytes(kernel("new"))
        self.refuse(FAILED, "--image", self.partitioned(boot), says="root file system is no ext4")


if __name__ == "__main__":
    main()
