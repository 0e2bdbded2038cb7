/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event log: what the journal is given, and what is kept. The journal is this program's own
 * sd_journal_sendv(), and standard error is taken for its stream.
 */
#include "common/base/text.h"
#include "tests/unit/unit.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define UUID "f8615163-df3e-46c5-913f-f2d2f965ed0e"

static struct {
	char folder[64];
	sd_event *loop;
	struct watches *watches;
	struct manager manager;
	struct vm vm;
	struct definition definition;
	char journal[8192]; /* the last entry, a field a line */
	unsigned entries;
	int journal_result;
	unsigned told;
} fixture;

/* In place of libsystemd's. */
int sd_journal_sendv(const struct iovec *iov, int count);

int sd_journal_sendv(const struct iovec *iov, int count)
{
	size_t used = 0;

	fixture.entries++;
	for (int i = 0; i < count; i++) {
		assert_null(memchr(iov[i].iov_base, '\n', iov[i].iov_len));
		assert_true(text_is_utf8(iov[i].iov_base, iov[i].iov_len));
		used += (size_t)snprintf(fixture.journal + used, sizeof(fixture.journal) - used,
					 "%.*s\n", (int)iov[i].iov_len, (char *)iov[i].iov_base);
		assert_true(used < sizeof(fixture.journal));
	}
	return fixture.journal_result;
}

static void on_logged(void *data, struct vm *vm, const struct vm_log_entry *entry)
{
	assert_ptr_equal(vm, &fixture.vm);
	fixture.told++;
}

static const struct manager_observer observer = { .vm_logged = on_logged };

/* Standard error leads to the journal, or not. */
static void set_journal(bool there)
{
	struct stat status;
	char text[64];

	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)status.st_dev,
		 (unsigned long long)status.st_ino);
	assert_int_equal(there ? setenv("JOURNAL_STREAM", text, 1) : unsetenv("JOURNAL_STREAM"), 0);
}

static void open_log(void)
{
	assert_int_equal(console_new(fixture.watches, NULL, "", &fixture.vm.console), 0);
	assert_int_equal(vm_log_open(&fixture.vm), 0);
}

static void close_log(void)
{
	vm_log_free(fixture.vm.log);
	console_free(fixture.vm.console);
}

static int setup(void **state)
{
	memset(&fixture, 0, sizeof(fixture));
	strcpy(fixture.folder, "/tmp/test_vm_log.XXXXXX");
	assert_non_null(mkdtemp(fixture.folder));
	assert_true(sd_event_new(&fixture.loop) >= 0);
	assert_int_equal(watches_new(fixture.loop, &fixture.watches), 0);
	fixture.manager.settings.state_directory = fixture.folder;
	manager_observe(&fixture.manager, &observer, NULL);
	fixture.definition.name = (char *)"web";
	assert_int_equal(guid_parse(UUID, &fixture.definition.uuid), 0);
	fixture.vm.manager = &fixture.manager;
	fixture.vm.definition = &fixture.definition;
	open_log();
	set_journal(true);
	return 0;
}

static int teardown(void **state)
{
	char path[128];

	set_journal(false);
	vm_log_delete(&fixture.vm);
	close_log();
	watches_free(fixture.watches);
	sd_event_unref(fixture.loop);
	snprintf(path, sizeof(path), "%s/logs", fixture.folder);
	(void)rmdir(path);
	assert_int_equal(rmdir(fixture.folder), 0);
	return 0;
}

/* ---- What is kept ---- */

struct kept {
	unsigned count;
	struct vm_log_entry last;
	char event[32], message[VM_LOG_MESSAGE_MAX + 1];
};

static int keep(void *data, const struct vm_log_entry *entry)
{
	struct kept *kept = data;

	assert_true(text_is_utf8(entry->message, strlen(entry->message)));
	assert_true(kept->count == 0 || entry->sequence == kept->last.sequence + 1);
	kept->count++;
	kept->last = *entry;
	snprintf(kept->event, sizeof(kept->event), "%s", entry->event);
	snprintf(kept->message, sizeof(kept->message), "%s", entry->message);
	return 0;
}

static struct kept read_log(size_t count)
{
	struct kept kept = { 0 };

	assert_int_equal(vm_log_each(&fixture.vm, count, keep, &kept), 0);
	return kept;
}

static void assert_field(const char *field)
{
	if (!strstr(fixture.journal, field))
		fail_msg("no '%s' in: %s", field, fixture.journal);
}

static void test_fields(void **state)
{
	vm_log(&fixture.vm, VM_EVENT_STATE, LOG_LEVEL_ERROR, "crashed: %s", "badly");
	assert_field("MESSAGE=VM web: crashed: badly\n");
	assert_field("MESSAGE_ID=90b01b81a86e41fe95b8d2db5e4c6910\n");
	assert_field("PRIORITY=3\n");
	assert_field("SYSLOG_IDENTIFIER=vmms\n");
	assert_field("VMMS_VM=web\n");
	assert_field("VMMS_VM_UUID=" UUID "\n");
	assert_field("VMMS_EVENT=state\n");
	assert_int_equal(fixture.entries, 1);
	assert_int_equal(fixture.told, 1);
}

static void test_kept(void **state)
{
	struct kept kept = read_log(0);

	assert_int_equal(kept.count, 0);
	for (int i = 1; i <= 5; i++)
		vm_log(&fixture.vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "number %d", i);
	kept = read_log(0);
	assert_int_equal(kept.count, 5);
	assert_int_equal(kept.last.sequence, 5);
	assert_int_equal(kept.last.priority, 6);
	assert_string_equal(kept.event, "reset");
	assert_string_equal(kept.message, "number 5");
	assert_int_equal(read_log(1).count, 1);
	assert_int_equal(read_log(5).count, 5);
	assert_int_equal(read_log(100).count, 5);
}

static void test_a_later_daemon_goes_on(void **state)
{
	vm_log(&fixture.vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "before");
	close_log();
	open_log();
	vm_log(&fixture.vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "after");
	assert_int_equal(read_log(0).count, 2);
	assert_int_equal(read_log(0).last.sequence, 2);
}

/* Nothing of it may end a line, or be taken for another field, or move a cursor. */
static void test_hostile_text(void **state)
{
	static const char *const texts[] = {
		"x\nPRIORITY=0\nVMMS_VM=other",
		"\x1b[2J\x1b]0;title\a",
		"\xff\xfe\xc3(",
		"\xe2\x80\xae txt.exe",
		"\302\23331m",
		"quote\" back\\slash",
		"\r\n\t\b",
		"\xed\xa0\x80",
		"%s%n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct kept kept;

		vm_log(&fixture.vm, VM_EVENT_CRASH, LOG_LEVEL_WARNING, "%s", texts[i]);
		assert_null(strstr(fixture.journal, "\nPRIORITY=0"));
		assert_null(strstr(fixture.journal, "\nVMMS_VM=other"));
		assert_null(strpbrk(fixture.journal, "\x1b\a\b\r\t"));
		assert_null(strstr(fixture.journal, "\xc2\x9b"));
		assert_null(strstr(fixture.journal, "\xe2\x80\xae"));
		kept = read_log(1);
		assert_int_equal(kept.last.sequence, i + 1);
		assert_string_equal(kept.event, "crash");
	}
}

static void test_long_text(void **state)
{
	char text[10000];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '\x1b' : '"';
	text[sizeof(text) - 1] = '\0';
	vm_log(&fixture.vm, VM_EVENT_CRASH, LOG_LEVEL_WARNING, "%s", text);
	assert_int_equal(fixture.entries, 1);
	assert_int_equal(strlen(read_log(1).message), VM_LOG_MESSAGE_MAX - 1);
}

static void test_lines_that_make_no_sense(void **state)
{
	static const char garbage[] = "\n{}\n[]\nx\n{\"sequence\":\"x\"}\n"
				      "{\"sequence\":0,\"time\":0,\"priority\":0,\"event\":\"a\","
				      "\"message\":\"b\"}\n{\"sequence\":7,\"ti";
	char path[256];
	int fd;

	vm_log(&fixture.vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "before");
	snprintf(path, sizeof(path), "%s/logs/" UUID ".events", fixture.folder);
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, garbage, strlen(garbage)), strlen(garbage));
	close(fd);
	assert_int_equal(read_log(0).count, 1);
	/* The torn line takes the next with it, and no more. */
	vm_log(&fixture.vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "lost");
	fixture.vm.definition = &fixture.definition;
	assert_int_equal(read_log(0).count, 1);
}

static void test_bound(void **state)
{
	char text[1001];
	struct kept kept;

	memset(text, 'x', 1000);
	text[1000] = '\0';
	for (int i = 0; i < 2000; i++)
		vm_log(&fixture.vm, VM_EVENT_WORKER, LOG_LEVEL_INFO, "%s", text);
	kept = read_log(0);
	assert_int_equal(kept.last.sequence, 2000);
	assert_true(kept.count > VM_LOG_BOUND / 2 / 1200 && kept.count < VM_LOG_BOUND / 1000);
}

/* A journal that does not answer, and none: the event is kept at any rate. */
/* What a guest can do as often as it likes pushes nothing else out of the log, nor others' out of
 * the journal. */
static void test_what_a_guest_repeats(void **state)
{
	set_journal(true);
	for (int i = 0; i < 100000; i++)
		vm_log(&fixture.vm, VM_EVENT_CRASH, LOG_LEVEL_WARNING, "the guest crashed");
	assert_in_range(read_log(0).count, 2, 30);
	assert_in_range(fixture.entries, 2, 30);
	assert_in_range(fixture.told, 2, 30);
	vm_log(&fixture.vm, VM_EVENT_STATE, LOG_LEVEL_INFO, "off");
	assert_string_equal(read_log(0).message, "off");
}

static void test_without_journal(void **state)
{
	fixture.journal_result = -ECONNREFUSED;
	vm_log(&fixture.vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "one");
	set_journal(false);
	vm_log(&fixture.vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "two");
	assert_int_equal(fixture.entries, 1);
	assert_int_equal(read_log(0).count, 2);
}

static void test_deletion(void **state)
{
	vm_log(&fixture.vm, VM_EVENT_RESET, LOG_LEVEL_INFO, "one");
	vm_log(&fixture.vm, VM_EVENT_DELETED, LOG_LEVEL_INFO, "deleted");
	assert_field("MESSAGE=VM web: deleted\n");
	assert_int_equal(read_log(0).count, 1);
	vm_log_delete(&fixture.vm);
	assert_int_equal(read_log(0).count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fields),
		TEST(test_kept),
		TEST(test_a_later_daemon_goes_on),
		TEST(test_hostile_text),
		TEST(test_long_text),
		TEST(test_lines_that_make_no_sense),
		TEST(test_bound),
		TEST(test_what_a_guest_repeats),
		TEST(test_without_journal),
		TEST(test_deletion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
