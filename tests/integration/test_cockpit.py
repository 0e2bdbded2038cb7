#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page in Cockpit, in a real browser, with a real vmms and workers that run no guest.

scripts/cockpit browser builds the page and runs this. Pictures are left in build/test/cockpit, to be looked
at. Exit status 77 where there is no page, no browser, or no root, who alone can be somebody else.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
from rig import VMCTL, arguments, as_user, main, wait_until  # noqa: E402
from test_authorisation import MEMBER, NAME, OTHER, AuthorisationTest  # noqa: E402
from webdriver import ENTER, TAB, Browser  # noqa: E402

DIST = arguments.source / "build/cockpit/dist"
PICTURES = arguments.source / "build/test/cockpit"
COCKPIT_WS = pathlib.Path("/usr/lib/cockpit/cockpit-ws")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def button(text):
    return f"//button[normalize-space()='{text}']"


def labelled(text):
    return f"//*[@aria-label='{text}']"


def field(label):
    """The input or choice of that label."""
    return f"//*[@id=//label[.//*[normalize-space(text())='{label}']]/@for]"


def item(text):
    return f"//*[@role='menuitem'][.//*[normalize-space()='{text}']]"


DIALOG = "//*[@role='dialog']"


class PageTest(AuthorisationTest):
    uid = 0
    language = "en"
    dark = False

    def setUp(self):
        super().setUp()
        self.images = self.folder / "images"
        self.images.mkdir()
        self.images.chmod(0o777)
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.start_cockpit()
        profile = tempfile.mkdtemp(prefix="vmms-browser-")
        self.addCleanup(shutil.rmtree, profile, True)
        self.browser = Browser(profile, free_port(), self.log, self.language, self.dark)
        self.addCleanup(self.browser.close)
        self.addCleanup(self.keep_failure)

    def keep_failure(self):
        if self.has_failed():
            self.browser.picture(PICTURES / f"failed-{self.id().rsplit('.', 1)[1]}.png")
            sys.stderr.write("\n".join(self.browser.console()) + "\n")

    def start_cockpit(self):
        """As the user, without PAM and TLS; its bridge finds the page, vmctl, and this test's bus."""
        home, port = self.folder / "home", free_port()
        page = home / "share/cockpit/vmms"
        shutil.copytree(DIST, page)
        # Nothing is installed here.
        manifest = json.loads((page / "manifest.json").read_text())
        del manifest["conditions"]
        (page / "manifest.json").write_text(json.dumps(manifest))
        for path in home, *home.rglob("*"):
            os.chown(path, self.uid, self.uid)
        self.program(VMCTL)
        environment = {"HOME": str(home), "XDG_DATA_HOME": str(home / "share"), "XDG_RUNTIME_DIR": str(home),
                       "XDG_CONFIG_HOME": str(home), "PATH": f"{self.folder}:{os.environ['PATH']}", "LANG": "C.UTF-8",
                       "DBUS_SYSTEM_BUS_ADDRESS": self.address, "DBUS_SESSION_BUS_ADDRESS": self.address}
        cockpit = subprocess.Popen(
            as_user(self.uid, COCKPIT_WS, "--no-tls", "--address=127.0.0.1", f"--port={port}",
                    "--local-session=cockpit-bridge"), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=environment, cwd=home)
        self.addCleanup(cockpit.wait)
        self.addCleanup(cockpit.terminate)
        self.page = f"http://127.0.0.1:{port}/cockpit/@localhost/vmms/index.html"

        def listens():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0
        wait_until(listens, "cockpit-ws")

    # ---- Shorthands ----

    def open(self, *path):
        self.browser.go(self.page + "#/" + "/".join(path))

    def open_vm(self, name="vm", tab="overview"):
        self.open("vm", self.show(name)["uuid"], tab)
        self.browser.see(f"//h1[normalize-space()='{name}']")

    def picture(self, name):
        self.browser.picture(PICTURES / f"{name}.png")

    def more(self, name, action):
        self.browser.click(labelled(f"More actions for {name}"))
        self.browser.click(item(action))

    def answer(self, label):
        """The dialog's button; what it asks for succeeds."""
        self.browser.click(DIALOG + button(label))
        self.browser.see_no(DIALOG)

    def failure(self, text, kind):
        """What vmms has said is in the dialog, which is closed then."""
        alert = "//*[contains(@class, 'failure')]"
        self.browser.see(alert + f"[contains(., \"{text}\")]")
        self.browser.see(alert + f"//small[normalize-space()='{kind}']")

    def close_dialog(self):
        self.browser.click(DIALOG + button("Cancel"))
        self.browser.see_no(DIALOG)

    def see_state(self, state, name=None):
        row = f"//tr[@data-vm='{name}']" if name else ""
        self.browser.see(f"{row}//*[contains(@class, 'state-{state}')]")


class Page(PageTest):
    def test_the_list_is_live(self):
        self.open()
        self.browser.see_text("No machines yet")
        self.create("web", tags=["front"])
        self.create("data")
        self.see_state("off", "web")
        self.ok("start", "web")
        self.see_state("running", "web")
        self.browser.wait(lambda: " %" in self.browser.text(), "a load")
        self.picture("list")
        self.browser.type(labelled("Filter by name or tag"), "front")
        self.browser.see_no("//tr[@data-vm='data']")
        self.browser.type(labelled("Filter by name or tag"), "none")
        self.browser.see_no("//tr[@data-vm='web']")

    def test_power(self):
        self.create("web")
        self.open_vm("web")
        self.browser.click(labelled("Start web"))
        self.see_state("running")
        self.more("web", "Pause")
        self.see_state("paused")
        self.more("web", "Resume")
        self.see_state("running")
        self.more("web", "Reset…")
        self.answer("Reset")
        wait_until(lambda: self.show("web")["resets"] == 1, "a reset")
        self.picture("overview")
        self.browser.click(labelled("Shut down web"))
        self.browser.see(DIALOG)
        self.picture("shut-down")
        self.answer("Shut down")
        self.see_state("off")
        self.browser.click(labelled("Start web"))
        self.see_state("running")
        self.more("web", "Save")
        self.see_state("saved")
        self.more("web", "Discard saved state…")
        self.answer("Discard")
        self.see_state("off")
        self.browser.click(labelled("Start web"))
        self.more("web", "Turn off…")
        self.answer("Turn off")
        self.see_state("off")
        self.more("web", "Rename…")
        self.browser.type(DIALOG + field("Name"), "www")
        self.answer("Rename")
        self.browser.see("//h1[normalize-space()='www']")
        self.more("www", "Delete…")
        self.answer("Delete")
        self.browser.see_text("No machines yet")

    def test_errors_are_what_vmms_says(self):
        self.create("web", disks=[{"path": "/nowhere.raw"}])
        self.create("data")
        self.open()
        self.browser.click(labelled("Start web"))
        self.failure("/nowhere.raw", "Resource")
        self.picture("error")
        self.browser.click(DIALOG + button("Close"))
        self.more("web", "Rename…")
        self.browser.type(DIALOG + field("Name"), "data")
        self.browser.click(DIALOG + button("Rename"))
        self.failure("data", "Exists")
        self.browser.type(DIALOG + field("Name"), "-")
        self.browser.click(DIALOG + button("Rename"))
        self.failure("name", "InvalidArgument")
        self.close_dialog()
        self.browser.click(button("Create machine"))
        self.browser.type(DIALOG + field("Name"), "new")
        self.browser.type(DIALOG + field("Path of the disk"), "/nowhere/new.vhdx")
        self.browser.click(DIALOG + button("Create"))
        self.failure("/nowhere", "Resource")
        self.close_dialog()
        self.ok("start", "data")
        self.open_vm("data", "console")
        self.browser.click("//button[@id='console-screen']")
        self.browser.see("//*[contains(@class, 'failure')][contains(., 'video')]")
        self.picture("no-screen")

    def test_create(self):
        self.open()
        self.browser.click(button("Create machine"))
        self.browser.type(DIALOG + field("Name"), "new")
        self.browser.type(DIALOG + field("Memory"), "1G")
        self.browser.type(DIALOG + field("Path of the disk"), str(self.images / "new.vhdx"))
        self.browser.type(DIALOG + field("Size of the disk"), "8M")
        self.picture("create")
        self.answer("Create")
        self.see_state("off", "new")
        vm = self.show("new")
        self.assertEqual(vm["memory"], 1 << 30)
        self.assertTrue((self.images / "new.vhdx").exists())
        self.open("jobs")
        self.browser.see("//tr[@data-job='disk-create']//*[contains(@class, 'state-done')]")
        self.picture("jobs")

    def test_consoles(self):
        self.create("web", video={}, keyboard=True)
        self.ok("start", "web")
        self.open_vm("web", "console")
        self.browser.wait(lambda: "begin" in self.serial_text(), "the console")
        self.browser.keys("hello" + ENTER)
        self.browser.wait(lambda: "heard hello" in self.serial_text(), "an answer of the guest")
        self.picture("serial")
        self.browser.click("//button[@id='console-screen']")
        # What this guest paints, and the keys that it hears, are its first pixels (fake_worker_screen.c).
        self.browser.wait(lambda: self.pixels(1, 1) == [[0, 1, 1]] and self.canvas() == [320, 200], "a picture")
        self.picture("screen")
        self.browser.click("//canvas")
        self.browser.wait(lambda: [0x40, 0, 1] in self.pixels(0, 0, 100), "the guest to feel the mouse")
        self.browser.keys("a")
        for flags in 0, 2:
            self.browser.wait(lambda: [0x80, flags, 0x1e] in self.pixels(0, 0, 100), "the guest to hear 'a'")
        self.browser.click(button("Ctrl+Alt+Del"))
        self.browser.wait(lambda: [0x80, 4, 0x53] in self.pixels(0, 0, 100), "the guest to hear Ctrl+Alt+Del")
        self.ok("stop", "web")
        self.browser.see_text("The machine does not run")

    def canvas(self):
        return self.browser.script("const c = document.querySelector('canvas'); return c && [c.width, c.height]")

    def pixels(self, x, y, count=1):
        data = self.browser.script(
            "const c = document.querySelector('canvas');"
            "return c && [...c.getContext('2d').getImageData(arguments[0], arguments[1], arguments[2], 1).data]",
            x, y, count)
        return data and [data[i:i + 3] for i in range(0, len(data), 4)]

    def serial_text(self):
        return self.browser.script("return [...document.querySelectorAll('.xterm-accessibility-tree, .xterm-rows')]"
                                   ".map(e => e.textContent).join('\\n')").replace("\xa0", " ")

    def test_disks(self):
        self.create("web")
        self.open_vm("web", "disks")
        self.browser.click(button("Add a disk"))
        self.browser.type(DIALOG + field("Path of the disk"), str(self.images / "more.vhdx"))
        self.browser.type(DIALOG + field("Size of the disk"), "8M")
        self.answer("Add")
        self.browser.see_text("more.vhdx")
        self.browser.click(button("Add a disk"))
        self.browser.click(DIALOG + field("Kind") + "/option[@value='dvd']")
        self.answer("Add")
        iso = self.disk("cd.iso")["path"]
        self.browser.click(button("Insert…"))
        self.browser.type(DIALOG + field("Path of the medium"), iso)
        self.answer("Insert")
        self.browser.see_text("cd.iso")
        self.picture("disks")
        self.browser.click(button("Eject"))
        self.answer("Eject")
        self.browser.see(button("Insert…"))
        self.browser.click(labelled("Remove disk 0:1"))
        self.answer("Remove")
        self.browser.see_no(button("Insert…"))
        self.assertEqual(len(self.show("web")["definition"]["disks"]), 1)

    def test_network_and_switches(self):
        self.create("web")
        self.open_vm("web", "network")
        self.browser.click(button("Add an adapter"))
        self.answer("Add")
        self.browser.see(labelled("Remove adapter nic0"))
        self.picture("network")
        self.browser.click(labelled("Connect nic0"))
        self.answer("Connect")
        self.browser.click(labelled("Remove adapter nic0"))
        self.answer("Remove")
        self.browser.see_no(labelled("Remove adapter nic0"))
        self.open("switches")
        self.browser.click(button("Create switch"))
        self.browser.type(DIALOG + field("Name"), "out")
        self.browser.click(DIALOG + field("Type") + "/option[@value='external']")
        self.browser.type(DIALOG + field("Its name"), "vmms-no-bridge")
        self.browser.click(DIALOG + button("Create"))
        self.browser.see("//*[contains(@class, 'failure')]")
        self.picture("switch-error")
        self.close_dialog()

    def test_checkpoints(self):
        self.ok("disk", "create", self.images / "web.vhdx", "8M")
        self.create("web", disks=[{"path": str(self.images / "web.vhdx"), "format": "vhdx"}])
        self.open_vm("web", "checkpoints")
        self.browser.see_text("There are none.")
        for name in "first", "second":
            self.browser.click(button("Create a checkpoint"))
            self.browser.type(DIALOG + field("Name"), name)
            self.answer("Create")
            self.browser.see(f"//tr[@data-checkpoint='{name}']")
        self.browser.click(labelled("Apply checkpoint first"))
        self.answer("Apply")
        self.browser.see("//tr[@data-checkpoint='first']//*[contains(., '(now)')]")
        self.browser.click(button("Create a checkpoint"))
        self.browser.type(DIALOG + field("Name"), "other")
        self.answer("Create")
        self.browser.see("//tr[@data-checkpoint='other'][@aria-level='2']")
        self.picture("checkpoints")
        self.browser.click(labelled("Change checkpoint other"))
        self.browser.type(DIALOG + field("Notes"), "before the upgrade")
        self.answer("Change")
        self.browser.see_text("before the upgrade")
        self.browser.click(labelled("Delete checkpoint first"))
        self.browser.click("//*[@id='subtree']")
        self.answer("Delete")
        self.browser.see_text("There are none.")

    def test_resources(self):
        self.create("web")
        self.open_vm("web", "resources")
        self.browser.click(button("Change…"))
        self.browser.type(DIALOG + field("Memory"), "768M")
        self.answer("Change")
        wait_until(lambda: self.show("web")["memory"] == 768 << 20, "the memory")
        self.browser.click(button("Change limits…"))
        self.browser.type(DIALOG + field("Weight for processor time"), "200")
        self.picture("limits")
        self.answer("Change")
        self.browser.see_text("200")
        self.picture("resources")
        self.browser.click(button("Change limits…"))
        self.browser.type(DIALOG + field("Weight for processor time"), "0")
        self.browser.click(DIALOG + button("Change"))
        self.failure("cpu_weight", "InvalidDefinition")
        self.close_dialog()

    def test_a_job_is_cancelled(self):
        self.create("web", append="slow-shutdown")
        self.ok("start", "web")
        self.open_vm("web")
        self.browser.click(labelled("Shut down web"))
        self.answer("Shut down")
        self.see_state("stopping")
        self.picture("job")
        self.browser.click(labelled("Cancel job 1"))
        self.see_state("running")
        self.open("jobs")
        self.browser.see("//tr[@data-job='shutdown']//*[contains(@class, 'state-cancelled')]")

    def test_log_and_guest(self):
        self.create("web")
        self.ok("start", "web")
        self.open_vm("web", "log")
        self.browser.see_text("running")
        self.ok("pause", "web")
        self.browser.see_text("paused")
        self.picture("log")
        self.ok("resume", "web")
        self.open_vm("web", "guest")
        self.browser.click(button("Set a value…"))
        self.browser.type(DIALOG + field("Key"), "color")
        self.browser.type(DIALOG + field("Value"), "blue")
        self.answer("Set")
        self.picture("guest")

    def test_migration_says_what_is_in_the_way(self):
        self.create("web")
        self.ok("start", "web")
        self.open_vm("web")
        self.more("web", "Move to another host…")
        self.browser.type(DIALOG + field("Host, such as root@host"), "nobody@127.0.0.1:1")
        self.browser.click(DIALOG + button("Only check"))
        self.browser.see("//*[contains(@class, 'failure')]", 60)
        self.picture("migrate")
        self.close_dialog()

    def test_host(self):
        self.open("host")
        self.browser.see("//table[@aria-label='Checks of the host']", 60)
        self.picture("host")

    def test_vmms_goes_and_comes(self):
        self.create("web")
        self.open()
        self.see_state("off", "web")
        self.stop_vmms()
        self.browser.see_text("vmms does not run")
        self.picture("absent")
        self.start_vmms()
        self.see_state("off", "web")
        self.ok("start", "web")
        self.see_state("running", "web")

    def test_by_keyboard(self):
        self.create("web")
        self.open()
        self.browser.see(labelled("Start web"))
        for _ in range(40):
            if self.browser.script("return document.activeElement.getAttribute('aria-label')") == "Start web":
                break
            self.browser.keys(TAB)
        self.browser.keys(ENTER)
        self.see_state("running", "web")
        # Each control has a name that a screen reader says.
        self.assertEqual(self.browser.script(
            "return [...document.querySelectorAll('button, input, select, a')].filter(e => e.offsetParent &&"
            " !(e.innerText || e.getAttribute('aria-label') || e.labels?.length || e.title)).map(e => e.outerHTML)"), [])


@unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK), "this machine has no KVM")
class RealGuest(PageTest):
    """A guest of our own on this machine's KVM, by the real worker."""

    vmms_arguments = (*PageTest.vmms_arguments, "--worker", arguments.build / "bin/vmwp", "--hypervisor", "/dev/kvm")

    def test_services_of_a_guest(self):
        self.create("web", memory={"size": "64M"}, services={"sockets": False},
                    boot={"kernel": str(arguments.build / "guests/guest_integration.elf")})
        self.open_vm("web", "console")
        self.browser.click(labelled("Start web"))
        self.see_state("running")
        self.browser.wait(lambda: "vmms test guest" in self.ok("show", "web"), "the guest's name", 60)
        self.picture("real-serial")
        self.open_vm("web", "guest")
        self.browser.see_text("vmms test guest")
        self.browser.see_text("guest.example")
        self.browser.see("//td[normalize-space()='OSName']")
        self.browser.click(button("Set a value…"))
        self.browser.type(DIALOG + field("Key"), "greeting")
        self.browser.type(DIALOG + field("Value"), "hello, guest")
        self.answer("Set")
        self.picture("real-guest")
        self.browser.click(labelled("Shut down web"))
        self.answer("Shut down")
        self.see_state("off")


class SecondUser(PageTest):
    """Sees own machines, and is told of them."""

    uid = MEMBER

    def test_sees_less(self):
        self.create("roots")
        self.create("bins", owner=NAME[OTHER])
        self.create_as(MEMBER, "own")
        self.open()
        self.see_state("off", "own")
        for name in "roots", "bins":
            self.assertIsNone(self.browser.find(f"//tr[@data-vm='{name}']"))
        self.ok_as(MEMBER, "start", "own")
        self.see_state("running", "own")
        self.browser.click(labelled("Shut down own"))
        self.answer("Shut down")
        self.see_state("off", "own")
        self.picture("second-user")
        self.open("vm", self.show("roots")["uuid"])
        self.browser.see_text("There is no such machine")
        self.open("switches")
        self.browser.click(button("Create switch"))
        self.browser.type(DIALOG + field("Name"), "lan")
        self.browser.click(DIALOG + button("Create"))
        self.browser.see("//*[contains(@class, 'failure')]")
        self.picture("second-user-refused")


class Stranger(PageTest):
    uid = OTHER

    def test_is_told_why_there_is_nothing(self):
        self.create("roots")
        self.open()
        self.browser.see_text("You may not see virtual machines here")
        self.assertNotIn("roots", self.browser.text())
        self.picture("stranger")


class German(PageTest):
    language = "de"
    dark = True

    def test_dark_and_german(self):
        self.create("web")
        self.ok("start", "web")
        self.open()
        self.browser.see_text("Maschinen")
        self.see_state("running", "web")
        self.picture("list-dark-german")
        self.browser.click(button("Maschine anlegen"))
        self.browser.see(DIALOG)
        self.picture("create-dark-german")


class French(PageTest):
    language = "fr"

    def test_french(self):
        self.create("web")
        self.open()
        self.browser.see_text("Machines")
        self.browser.see(button("Créer une machine"))
        self.picture("list-french")


if __name__ == "__main__":
    missing = [str(what) for what in (DIST / "index.js", COCKPIT_WS) if not what.exists()]
    missing += [word for word in ("chromedriver", "cockpit-bridge") if not shutil.which(word)]
    if missing or os.geteuid() != 0:
        print("missing:", ", ".join(missing) or "root's rights")
        sys.exit(77)
    main()
