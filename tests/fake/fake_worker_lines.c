/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest of the fake worker: what each line does that is typed on its serial port. */
#include "tests/fake/control_send.h"
#include "tests/fake/fake_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static void type_guest(struct fake *fake)
{
	event(fake, "guest",
	      json_make("os_name", json_object_new_string("Debian GNU/Linux"), "os_version",
			json_object_new_string("6.1.0"), "os_major", json_object_new_string("12"),
			"os_build", json_object_new_string("6.1.0 \x1b[31m"), "host_name",
			json_object_new_string("guest.example.org"), "ipv4",
			json_object_new_string("192.0.2.7;;198.51.100.1;"), "ipv6",
			json_object_new_string("2001:db8::7"), NULL));
}

/* What a hostile guest would say of itself, and a worker that passes it on as it is. */
static void type_hostile(struct fake *fake)
{
	static const char text[] = "\x1b[2J\x1b]0;owned\a\r\n\"},{\\ \xe2\x80\xae \xc2\x9b"
				   "31m\b\x7f";
	char much[CONTROL_GUEST_TEXT_MAX];

	memset(much, 'x', sizeof(much));
	for (size_t i = 0; i + sizeof(text) < sizeof(much); i += 2 * sizeof(text))
		memcpy(much + i, text, sizeof(text) - 1);
	much[sizeof(much) - 1] = '\0';
	event(fake, "guest",
	      json_make("os_name", json_object_new_string(text), "os_version",
			json_object_new_string(much), "os_build", json_object_new_string(text),
			"host_name", json_object_new_string(much), "ipv4",
			json_object_new_string(text), "ipv6", json_object_new_string(much), NULL));
	event(fake, "network",
	      json_make("adapter", json_object_new_string("nic0"), "addresses",
			json_make("x", json_object_new_string(text), NULL), NULL));
	event(fake, "crash", json_make("text", json_object_new_string(much), NULL));
	event(fake, "heartbeat", json_make("status", json_object_new_string(text), NULL));
	event(fake, "vmbus", json_make("version", json_object_new_string(text), NULL));
	event(fake, "reset", json_make("reason", json_object_new_string(text), NULL));
	event(fake, "guest", json_make("host_name", json_object_new_string("\xff\xfe\xc3("), NULL));
	event(fake, "thawed", json_make("reason", json_object_new_string(text), NULL));
	event(fake, "memory", json_make("assigned", json_object_new_int64(-1), NULL));
	event(fake, "memory", json_make("demand", json_object_new_uint64(UINT64_MAX), NULL));
	event(fake, "memory",
	      json_make("state", json_object_new_string("\x1b[2J\xc2\x9b"), "reported",
			json_object_new_boolean(true), "demand",
			json_object_new_uint64(UINT64_C(1) << 52), NULL));
	fwrite(text, 1, sizeof(text), stderr);
	fputs("\xff\xfe\n", stderr);
	say(fake, text);
	say(fake, "\r\nguest: hostile\r\n");
}

static void type_idle(struct fake *fake)
{
	fake->demand = UINT64_C(80) << 20;
	memory_event(fake);
}

static void type_busy(struct fake *fake)
{
	fake->demand = UINT64_C(200) << 20;
	memory_event(fake);
}

static void type_heartbeat_lost(struct fake *fake)
{
	event(fake, "heartbeat", json_make("status", json_object_new_string("lost"), NULL));
	say(fake, "guest: no heartbeat\r\n");
}

static void type_thawed(struct fake *fake)
{
	event(fake, "thawed", json_make("reason", json_object_new_string("limit"), NULL));
}

/* The guest connects to port 7000 of the host's, and somebody hostile to many. */
static void type_connect(struct fake *fake)
{
	event(fake, "connect",
	      json_make("request", json_object_new_int64(70), "port", json_object_new_int64(7000),
			NULL));
}

/* A TCP socket whose last owner waits ten minutes for it to be closed: nobody reads from it. */
static int lingering_socket(void)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 600 };
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int near = socket(AF_INET, SOCK_STREAM, 0);
	static char bytes[1 << 16];

	if (listener < 0 || near < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0)
		abort();
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(near, (struct sockaddr *)&address, size) < 0 ||
	    accept(listener, NULL, NULL) < 0 ||
	    setsockopt(near, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		abort();
	close(listener);
	while (send(near, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return near;
}

static void attach_file(struct fake *fake, int socket)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { .header = { .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec iov = { "x", 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd;

	/* In a process, whose end waits for no socket. */
	if (fork() != 0)
		return;
	fd = lingering_socket();
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
		say(fake, "guest: refused\r\n");
	_exit(0);
}

static void type_attach_to_console(struct fake *fake)
{
	attach_file(fake, fake->serial);
}

static void type_attach_to_control(struct fake *fake)
{
	attach_file(fake, fake->control);
}

static void type_connect_often(struct fake *fake)
{
	for (int i = 0; i < 200; i++)
		event(fake, "connect",
		      json_make("request", json_object_new_int64(1000 + i), "port",
				json_object_new_int64(7000), NULL));
}

/* Takes one connection to its socket. */
static void type_accept(struct fake *fake)
{
	int fd = accept4(fake->sockets, NULL, NULL, SOCK_CLOEXEC);
	char line[64] = "";

	if (fd >= 0 && read(fd, line, sizeof(line) - 1) > 0)
		dprintf(fd, "OK %zu\n", strlen(line));
	close_fdp(&fd);
}

static void type_shutdown(struct fake *fake)
{
	end(fake, "guest-shutdown", "");
}

static void type_reboot(struct fake *fake)
{
	event(fake, "reset", json_make("reason", json_object_new_string("guest-reset"), NULL));
}

static void crash_event(struct fake *fake)
{
	struct json_object *parameters = json_object_new_array();

	for (int i = 1; i <= 5; i++) {
		char text[24];

		snprintf(text, sizeof(text), "0x%x", i * 0x11);
		json_append(&parameters, json_object_new_string(text));
	}
	event(fake, "crash",
	      json_make("parameters", parameters, "text",
			json_object_new_string("oops \x1b[2J \xe2\x80\xae\xc2\x9b\n"), NULL));
}

static void type_crash(struct fake *fake)
{
	crash_event(fake);
	end(fake, "crash", "oops \x1b[2J");
}

static void type_keep(struct fake *fake)
{
	crash_event(fake);
	state_event(fake, "kept", "crash", "oops");
}

static void type_eject(struct fake *fake)
{
	eject_all(fake);
}

static void type_disk_full(struct fake *fake)
{
	disk_event(fake, "full");
	state_event(fake, "paused", "disk-error", "the disk is full");
}

static void type_disk_no_server(struct fake *fake)
{
	disk_event(fake, "no-server");
}

static void type_disk_errors(struct fake *fake)
{
	disk_event(fake, "errors");
}

static void type_disk_ok(struct fake *fake)
{
	disk_event(fake, "ok");
	state_event(fake, "running", "disk-error", "");
}

static void type_disk_hostile(struct fake *fake)
{
	event(fake, "disk",
	      json_make("controller", json_object_new_int64(0), "lun", json_object_new_int64(99),
			"health", json_object_new_string("full"), NULL));
	event(fake, "disk",
	      json_make("controller", json_object_new_int64(0), "lun", json_object_new_int64(0),
			"health", json_object_new_string("\x1b[31m"), NULL));
	event(fake, "disk",
	      json_make("controller", json_object_new_int64(3), "lun", json_object_new_int64(9),
			"health", json_object_new_string("full"), NULL));
}

static void type_disk_stop(struct fake *fake)
{
	end(fake, "disk-error", "disk 0:0 cannot write");
}

static void type_settled(struct fake *fake)
{
	if (control_send_reply(fake->control, fake->detach, NULL) < 0)
		perror("fake worker: detach");
}

static void type_error(struct fake *fake)
{
	state_event(fake, "stopped", "error", "the disk is on fire");
	_exit(1);
}

static void type_exit(struct fake *fake)
{
	fputs("fake worker: something is wrong\n", stderr);
	_exit(4);
}

static void type_abort(struct fake *fake)
{
	abort();
}

static void type_leave(struct fake *fake)
{
	_exit(0);
}

static void type_addresses(struct fake *fake)
{
	static const char *const texts[] = { "192.0.2.7", "2001:DB8:0::7", "nonsense", "1.2.3.4/8",
					     "fe80::1%eth0 \x1b[31m" };
	struct json_object *addresses = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		json_append(&addresses, json_object_new_string(texts[i]));
	event(fake, "network",
	      json_make("adapter", json_object_new_string("nic0"), "addresses",
			json_tokener_parse("[\"192.0.2.9\", 7]"), NULL));
	event(fake, "network",
	      json_make("adapter", json_object_new_string("nic0"), "addresses", addresses, NULL));
}

/* What a hostile worker would send. */
static void type_garbage(struct fake *fake)
{
	static const char *const texts[] = {
		"x",
		"{}",
		"[]",
		"{\"event\":\"state\",\"data\":{\"state\":7}}",
		"{\"event\":\"crash\",\"data\":{\"parameters\":[[],{},1,\"zz\",null]}}",
		"{\"event\":\"crash\",\"data\":{\"parameters\":[1,\"zz\"],\"text\":\"\\u009b\"}}",
		"{\"event\":\"unknown\"}",
		"{\"event\":\"network\",\"data\":{\"adapter\":\"x\",\"addresses\":[[]]}}",
		"{\"event\":\"network\",\"data\":{\"adapter\":\"nic0\",\"addresses\":{}}}",
		"{\"event\":\"guest\",\"data\":{\"ipv4\":[],\"os_name\":{},\"host_name\":7}}",
		"{\"event\":\"thawed\"}",
		"{\"event\":\"connect\",\"data\":{\"request\":-1,\"port\":{}}}",
		"{\"event\":\"copy\",\"data\":{\"copied\":-1,\"size\":\"x\"}}",
		"{\"event\":\"state\",\"data\":{\"state\":\"flying\"}}",
		"{\"id\":4000000000,\"result\":{}}",
		"{\"id\":1,\"method\":\"start\"}",
		"{\"event\":\"heartbeat\",\"data\":{\"status\":\"\\u001b[31m\"}}",
		"{\"event\":\"ejected\"}",
		"{\"event\":\"ejected\",\"data\":{\"controller\":0,\"lun\":-1}}",
		"{\"event\":\"ejected\",\"data\":{\"controller\":4,\"lun\":0}}",
		"{\"event\":\"ejected\",\"data\":{\"controller\":0,\"lun\":0}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		(void)send(fake->control, texts[i], strlen(texts[i]), 0);
	fputs("\x1b[31mbinary \xff\xfe and a long line: ", stderr);
	for (int i = 0; i < 1000; i++)
		fputs("0123456789", stderr);
	fputs("\n", stderr);
	say(fake, "guest: garbage sent\r\n");
}

static void type_flood(struct fake *fake)
{
	for (int i = 0; i < 3000; i++) {
		struct json_object *data =
			json_make("status", json_object_new_string(i % 2 ? "ok" : "lost"), NULL);

		while (control_send_event(fake->control, "heartbeat", data) == -EAGAIN)
			poll(&(struct pollfd){ fake->control, POLLOUT, 0 }, 1, -1);
		json_object_put(data);
	}
	say(fake, "guest: flood sent\r\n");
}

/* An event of that many bytes, full of values. */
static void send_large(struct fake *fake, size_t size)
{
	static const char head[] = "{\"event\":\"heartbeat\",\"data\":{\"status\":[{}",
			  tail[] = "]}}";
	char *text = malloc(size);
	size_t used = (size_t)sprintf(text, "%s", head);

	while (used + sizeof(",{}") + sizeof(tail) < size)
		used += (size_t)sprintf(text + used, ",{}");
	used += (size_t)sprintf(text + used, "%s", tail);
	memset(text + used, ' ', size - used);
	while (send(fake->control, text, size, MSG_NOSIGNAL) < 0 && errno == EAGAIN)
		poll(&(struct pollfd){ fake->control, POLLOUT, 0 }, 1, -1);
	free(text);
}

static void type_large(struct fake *fake)
{
	send_large(fake, 17 * 1024);
}

/* Until it is killed. */
static void type_flood_large(struct fake *fake)
{
	say(fake, "guest: the flood begins\r\n");
	for (;;)
		send_large(fake, 16 * 1024);
}

static void type_talk(struct fake *fake)
{
	char line[64];

	for (int i = 0; i < 3000; i++) {
		snprintf(line, sizeof(line), "guest: line %05d of what nobody may want\r\n", i);
		say(fake, line);
	}
	say(fake, "guest: talked\r\n");
}

/* More on standard error than anybody will read; and its end in another second than the rest is
 * read. */
static void type_babble(struct fake *fake)
{
	int unread;

	for (int i = 0; i < 3000; i++)
		fprintf(stderr, "babble %d\n", i);
	do
		usleep(10000);
	while (ioctl(STDERR_FILENO, FIONREAD, &unread) == 0 && unread > 0);
	sleep(2);
	fputs("babble goes on\n", stderr);
	fputs("babble ends\n", stderr);
}

/* Closes the control socket and lives on. */
static void type_hang_up(struct fake *fake)
{
	close(fake->control);
	for (;;)
		pause();
}

static void type_no_heartbeat(struct fake *fake)
{
	event(fake, "heartbeat", json_make("status", json_object_new_string("lost"), NULL));
}

static void firmware_event(struct fake *fake, const char *word)
{
	event(fake, "firmware", json_make("state", json_object_new_string(word), NULL));
}

static void type_no_boot_device(struct fake *fake)
{
	firmware_event(fake, "no-boot-device");
}

static void type_refused_loader(struct fake *fake)
{
	firmware_event(fake, "refused-loader");
}

static void type_boots(struct fake *fake)
{
	firmware_event(fake, "");
}

static const struct {
	const char *line;
	void (*act)(struct fake *fake);
} commands[] = {
	{ "shutdown", type_shutdown },
	{ "reboot", type_reboot },
	{ "crash", type_crash },
	{ "keep", type_keep },
	{ "error", type_error },
	{ "exit", type_exit },
	{ "abort", type_abort },
	{ "leave", type_leave },
	{ "garbage", type_garbage },
	{ "addresses", type_addresses },
	{ "flood", type_flood },
	{ "no-heartbeat", type_no_heartbeat },
	{ "no-boot-device", type_no_boot_device },
	{ "refused-loader", type_refused_loader },
	{ "boots", type_boots },
	{ "talk", type_talk },
	{ "large", type_large },
	{ "flood-large", type_flood_large },
	{ "hang-up", type_hang_up },
	{ "eject", type_eject },
	{ "guest", type_guest },
	{ "hostile", type_hostile },
	{ "heartbeat-lost", type_heartbeat_lost },
	{ "thawed", type_thawed },
	{ "babble", type_babble },
	{ "disk-no-server", type_disk_no_server },
	{ "disk-full", type_disk_full },
	{ "disk-errors", type_disk_errors },
	{ "disk-ok", type_disk_ok },
	{ "disk-hostile", type_disk_hostile },
	{ "disk-stop", type_disk_stop },
	{ "settled", type_settled },
	{ "idle", type_idle },
	{ "busy", type_busy },
	{ "connect", type_connect },
	{ "accept", type_accept },
	{ "connect-often", type_connect_often },
	{ "attach-to-console", type_attach_to_console },
	{ "attach-to-control", type_attach_to_control },
};

void interpret(struct fake *fake)
{
	say(fake, "guest: heard ");
	say(fake, fake->line);
	say(fake, "\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].line, fake->line) == 0)
			commands[i].act(fake);
	}
}
