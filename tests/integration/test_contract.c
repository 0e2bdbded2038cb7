/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of org.vmms1 on the bus: every method with good, bad and hostile arguments, every
 * property, every signal. usage: test_contract VMMS FAKE_WORKER
 */
#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/dbus_names.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT          60 /* seconds; of whatever ought to take none */
#define PROPERTIES       "org.freedesktop.DBus.Properties"
#define OBJECTS          "org.freedesktop.DBus.ObjectManager"
#define BUS_ERROR_PREFIX "org.freedesktop.DBus.Error."

static const char *vmms_path, *worker_path;

static struct {
	char folder[32], address[64], definition[256];
	pid_t daemon_pid, vmms_pid;
	sd_bus *bus;
	char vm[128]; /* object of the VM that a test made */
	char job[64]; /* of the job that it began last */
	/* Signals that came, as text, "InterfacesAdded State State …". */
	char signals[4096];
} fixture;

/* ---- Processes ---- */

static pid_t run(const char *const *arguments)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		execvp(arguments[0], (char *const *)arguments);
		_exit(127);
	}
	return pid;
}

static void end(pid_t pid, int expected)
{
	int status;

	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (expected >= 0)
		assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, expected);
}

static void write_bus_configuration(const char *path)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file,
		"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\""
		" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
		"<busconfig><type>custom</type><listen>%s</listen><auth>EXTERNAL</auth>"
		"<policy context=\"default\"><allow send_destination=\"*\"/>"
		"<allow receive_sender=\"*\"/><allow send_type=\"signal\"/>"
		"<allow receive_type=\"method_call\"/><allow receive_type=\"method_return\"/>"
		"<allow receive_type=\"error\"/><allow receive_type=\"signal\"/>"
		"<allow own=\"*\"/></policy></busconfig>",
		fixture.address);
	assert_int_equal(fclose(file), 0);
}

static int try_connect(void)
{
	sd_bus *bus = NULL;
	int r;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_address(bus, fixture.address) >= 0);
	assert_true(sd_bus_set_bus_client(bus, true) >= 0);
	r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_get_unique_name(bus, &(const char *){ NULL });
	if (r < 0) {
		sd_bus_unref(bus);
		return r;
	}
	fixture.bus = bus;
	return 0;
}

static void pause_a_little(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
}

static bool service_is_there(void)
{
	return sd_bus_get_name_creds(fixture.bus, DBUS_NAME, 0, NULL) >= 0;
}

static int start_all(void **state)
{
	char configuration[64], option[96], state_folder[64], runtime_folder[64];
	int tries = TIMEOUT * 100;

	strcpy(fixture.folder, "/tmp/vmms-contract-XXXXXX");
	assert_non_null(mkdtemp(fixture.folder));
	snprintf(fixture.address, sizeof(fixture.address), "unix:path=%s/bus", fixture.folder);
	snprintf(configuration, sizeof(configuration), "%s/bus.conf", fixture.folder);
	write_bus_configuration(configuration);
	snprintf(option, sizeof(option), "--config-file=%s", configuration);
	fixture.daemon_pid = run((const char *[]){ "dbus-daemon", option, "--nofork", NULL });
	while (try_connect() < 0 && tries-- > 0)
		pause_a_little();
	assert_non_null(fixture.bus);
	snprintf(state_folder, sizeof(state_folder), "%s/state", fixture.folder);
	snprintf(runtime_folder, sizeof(runtime_folder), "%s/run", fixture.folder);
	fixture.vmms_pid =
		run((const char *[]){ vmms_path, "--address", fixture.address, "--state-dir",
				      state_folder, "--runtime-dir", runtime_folder, "--worker",
				      worker_path, "--hypervisor", "/dev/null", NULL });
	while (!service_is_there() && tries-- > 0)
		pause_a_little();
	assert_true(service_is_there());
	return 0;
}

static int stop_all(void **state)
{
	char command[64];

	sd_bus_flush_close_unref(fixture.bus);
	end(fixture.vmms_pid, 0);
	end(fixture.daemon_pid, -1);
	snprintf(command, sizeof(command), "rm -r %s", fixture.folder);
	return system(command);
}

/* ---- Calls ---- */

/* Whose calls they are. */
static const char *name_of(const char *interface)
{
	return strcmp(interface, DBUS_INTERFACE_FILES) == 0 ? DBUS_NAME_FILES : DBUS_NAME;
}

/* Name of the error that a call fails with; "": none. reply: may be NULL. */
static const char *call(const char *path, const char *interface, const char *method,
			sd_bus_message **reply, const char *types, ...)
{
	static char name[128];
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *message = NULL;
	va_list arguments;
	int r;

	assert_true(sd_bus_message_new_method_call(fixture.bus, &message, name_of(interface), path,
						   interface, method) >= 0);
	va_start(arguments, types);
	assert_true(sd_bus_message_appendv(message, types, arguments) >= 0);
	va_end(arguments);
	r = sd_bus_call(fixture.bus, message, TIMEOUT * UINT64_C(1000000), &error, reply);
	sd_bus_message_unref(message);
	snprintf(name, sizeof(name), "%s", r < 0 ? error.name : "");
	if (r < 0)
		assert_true(error.message && error.message[0] != '\0');
	sd_bus_error_free(&error);
	return name;
}

#define CALL_MANAGER(method, ...) call(DBUS_PATH, DBUS_INTERFACE_MANAGER, method, NULL, __VA_ARGS__)
#define CALL_VM(method, ...)      call(fixture.vm, DBUS_INTERFACE_VM, method, NULL, __VA_ARGS__)
#define CALL_FILES(method, ...)   call(fixture.vm, DBUS_INTERFACE_FILES, method, NULL, __VA_ARGS__)
#define ASSERT_DONE(expression)   assert_string_equal(expression, "")
#define ASSERT_REFUSED(expression, expected) \
	assert_string_equal(expression, DBUS_ERROR_PREFIX expected)
#define ASSERT_DBUS_REFUSED(expression, expected) \
	assert_string_equal(expression, BUS_ERROR_PREFIX expected)

static void create(const char *name, const char *append)
{
	sd_bus_message *reply = NULL;
	const char *path;

	snprintf(fixture.definition, sizeof(fixture.definition),
		 "{\"name\": \"%s\", \"boot\": {\"kernel\": \"/bin/true\", \"command_line\": "
		 "\"%s\"}, \"disks\": [{\"type\": \"dvd\", \"lun\": 9}]}",
		 name, append);
	ASSERT_DONE(call(DBUS_PATH, DBUS_INTERFACE_MANAGER, "CreateVM", &reply, "s",
			 fixture.definition));
	assert_true(sd_bus_message_read(reply, "o", &path) >= 0);
	snprintf(fixture.vm, sizeof(fixture.vm), "%s", path);
	sd_bus_message_unref(reply);
}

static int create_vm(void **state)
{
	create("vm", "");
	return 0;
}

static int create_slow_vm(void **state)
{
	create("vm", "slow-shutdown slow-copy slow-dump");
	return 0;
}

static int create_unwilling_vm(void **state)
{
	create("vm", "no-shutdown");
	return 0;
}

static int delete_vm(void **state)
{
	CALL_VM("TurnOff", "");
	CALL_VM("Delete", "");
	return 0;
}

/* Calls a method of the VM whose answer is a job, fixture.job. Return: as call(). */
static const char *begin_job(const char *method, const char *types, ...)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *message = NULL, *reply = NULL;
	static char name[128];
	va_list arguments;
	const char *path;
	int r;

	/* Those whose arguments begin with a descriptor. */
	const char *interface = types[0] == 'h' ? DBUS_INTERFACE_FILES : DBUS_INTERFACE_VM;

	assert_true(sd_bus_message_new_method_call(fixture.bus, &message, name_of(interface),
						   fixture.vm, interface, method) >= 0);
	va_start(arguments, types);
	assert_true(sd_bus_message_appendv(message, types, arguments) >= 0);
	va_end(arguments);
	r = sd_bus_call(fixture.bus, message, TIMEOUT * UINT64_C(1000000), &error, &reply);
	sd_bus_message_unref(message);
	snprintf(name, sizeof(name), "%s", r < 0 ? error.name : "");
	sd_bus_error_free(&error);
	if (r >= 0) {
		assert_true(sd_bus_message_read(reply, "o", &path) > 0);
		snprintf(fixture.job, sizeof(fixture.job), "%s", path);
	}
	sd_bus_message_unref(reply);
	return name;
}

/* The same, and waits for its end. */
#define CALL_JOB(method, ...)                      \
	(begin_job(method, __VA_ARGS__)[0] != '\0' \
		 ? "the job was not begun"         \
		 : call(fixture.job, DBUS_INTERFACE_JOB, "Wait", NULL, ""))

static char *get_string(const char *property)
{
	char *text = NULL;

	assert_true(sd_bus_get_property_string(fixture.bus, DBUS_NAME, fixture.vm,
					       DBUS_INTERFACE_VM, property, NULL, &text) >= 0);
	return text;
}

static void assert_property(const char *property, const char *expected)
{
	AUTO_FREE char *text = get_string(property);

	assert_string_equal(text, expected);
}

static void wait_property(const char *property, const char *expected)
{
	time_t until = time(NULL) + TIMEOUT;
	bool reached;

	do {
		AUTO_FREE char *text = get_string(property);

		reached = strcmp(text, expected) == 0;
		if (!reached && time(NULL) > until)
			fail_msg("%s is %s, not %s", property, text, expected);
		pause_a_little();
	} while (!reached);
}

/* ---- Methods ---- */

static void test_create_refuses(void **state)
{
	AUTO_FREE char *large = malloc(2 << 20);

	memset(large, ' ', (2 << 20) - 1);
	large[(2 << 20) - 1] = '\0';
	ASSERT_REFUSED(CALL_MANAGER("CreateVM", "s", ""), "InvalidDefinition");
	ASSERT_REFUSED(CALL_MANAGER("CreateVM", "s", "{}"), "InvalidDefinition");
	ASSERT_REFUSED(CALL_MANAGER("CreateVM", "s", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
		       "InvalidDefinition");
	ASSERT_REFUSED(CALL_MANAGER("CreateVM", "s", large), "InvalidDefinition");
	ASSERT_DBUS_REFUSED(CALL_MANAGER("CreateVM", "i", 7), "InvalidArgs");
	ASSERT_DBUS_REFUSED(CALL_MANAGER("CreateVM", ""), "InvalidArgs");
	ASSERT_DBUS_REFUSED(CALL_MANAGER("DestroyEverything", ""), "UnknownMethod");
}

static void test_names(void **state)
{
	char same[128];

	strcpy(same, fixture.definition);
	ASSERT_REFUSED(CALL_MANAGER("CreateVM", "s", same), "Exists");
	ASSERT_DONE(CALL_MANAGER("GetVM", "s", "vm"));
	ASSERT_REFUSED(CALL_MANAGER("GetVM", "s", "VM"), "NoSuchVM");
	ASSERT_REFUSED(CALL_MANAGER("GetVM", "s", ""), "NoSuchVM");
	ASSERT_REFUSED(CALL_MANAGER("GetVM", "s", "../vm\n\x1b[31m"), "NoSuchVM");
	ASSERT_REFUSED(CALL_MANAGER("DeleteVM", "s", "nobody"), "NoSuchVM");
	ASSERT_REFUSED(CALL_MANAGER("DeleteVM", "s", "../../etc/passwd"), "NoSuchVM");
}

static void test_list(void **state)
{
	const char *name, *uuid, *vm_state, *path;
	sd_bus_message *reply = NULL;

	ASSERT_DONE(call(DBUS_PATH, DBUS_INTERFACE_MANAGER, "ListVMs", &reply, ""));
	assert_true(sd_bus_message_enter_container(reply, 'a', "(ssso)") > 0);
	assert_true(sd_bus_message_read(reply, "(ssso)", &name, &uuid, &vm_state, &path) > 0);
	assert_string_equal(name, "vm");
	assert_string_equal(vm_state, "off");
	assert_string_equal(path, fixture.vm);
	assert_int_equal(sd_bus_message_at_end(reply, false), 1);
	sd_bus_message_unref(reply);
}

static void test_what_states_refuse(void **state)
{
	static const char *const running_only[] = { "Reset", "Pause", "Resume" };

	ASSERT_REFUSED(CALL_VM("TurnOff", ""), "AlreadyInState");
	for (size_t i = 0; i < ARRAY_SIZE(running_only); i++)
		ASSERT_REFUSED(CALL_VM(running_only[i], ""), "InvalidState");
	ASSERT_REFUSED(CALL_VM("Shutdown", "a{sv}", 0), "AlreadyInState");
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_REFUSED(CALL_VM("Start", ""), "AlreadyInState");
	ASSERT_REFUSED(CALL_VM("Delete", ""), "InvalidState");
	ASSERT_DONE(CALL_VM("Pause", ""));
	assert_property("State", "paused");
	ASSERT_DONE(CALL_VM("Resume", ""));
	ASSERT_DONE(CALL_VM("Reset", ""));
	ASSERT_DONE(CALL_VM("TurnOff", ""));
	assert_property("State", "off");
}

static void test_shutdown_options(void **state)
{
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_REFUSED(CALL_VM("Shutdown", "a{sv}", 1, "hurry", "b", true), "InvalidArgument");
	ASSERT_REFUSED(CALL_VM("Shutdown", "a{sv}", 1, "timeout", "s", "1"), "InvalidArgument");
	ASSERT_REFUSED(CALL_VM("Shutdown", "a{sv}", 1, "timeout", "u", UINT32_MAX),
		       "InvalidArgument");
	ASSERT_REFUSED(CALL_VM("Shutdown", "a{sv}", 1, "force", "u", 1), "InvalidArgument");
	ASSERT_DBUS_REFUSED(CALL_VM("Shutdown", "b", true), "InvalidArgs");
	ASSERT_REFUSED(CALL_VM("Shutdown", "a{sv}", 1, "wait", "b", true), "InvalidArgument");
	ASSERT_DONE(CALL_JOB("Shutdown", "a{sv}", 1, "reboot", "b", true));
	assert_property("State", "running");
	ASSERT_DONE(CALL_JOB("Shutdown", "a{sv}", 3, "force", "b", true, "reboot", "b", false,
			     "timeout", "u", 0));
	assert_property("State", "off");
	assert_property("StateReason", "the guest shut down");
}

/* ---- Jobs ---- */

static void assert_job(const char *property, const char *expected)
{
	AUTO_FREE char *text = NULL;

	assert_true(sd_bus_get_property_string(fixture.bus, DBUS_NAME, fixture.job,
					       DBUS_INTERFACE_JOB, property, NULL, &text) >= 0);
	assert_string_equal(text, expected);
}

static uint64_t job_number(const char *property)
{
	uint64_t number;

	assert_true(sd_bus_get_property_trivial(fixture.bus, DBUS_NAME, fixture.job,
						DBUS_INTERFACE_JOB, property, NULL, 't',
						&number) >= 0);
	return number;
}

static bool job_flag(const char *property)
{
	int flag;

	assert_true(sd_bus_get_property_trivial(fixture.bus, DBUS_NAME, fixture.job,
						DBUS_INTERFACE_JOB, property, NULL, 'b',
						&flag) >= 0);
	return flag;
}

static void assert_job_error(const char *expected)
{
	sd_bus_message *reply = NULL;
	const char *name, *message;

	assert_true(sd_bus_get_property(fixture.bus, DBUS_NAME, fixture.job, DBUS_INTERFACE_JOB,
					"Error", NULL, &reply, "(ss)") >= 0);
	assert_true(sd_bus_message_read(reply, "(ss)", &name, &message) > 0);
	assert_string_equal(name, expected);
	assert_int_equal(message[0] == '\0', expected[0] == '\0');
	sd_bus_message_unref(reply);
}

static void test_job_of_a_shutdown(void **state)
{
	sd_bus_message *reply = NULL;
	const char *kind, *vm, *job_state, *path;
	uint64_t started_at;
	uint32_t id;

	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_DONE(begin_job("Shutdown", "a{sv}", 1, "timeout", "u", 0));
	assert_job("Kind", "shutdown");
	assert_job("VMName", "vm");
	assert_job("State", "running");
	assert_job_error("");
	assert_true(job_flag("Cancellable"));
	assert_true(job_number("StartedAt") > 0);
	assert_int_equal(job_number("EndedAt"), 0);
	wait_property("State", "stopping");
	ASSERT_REFUSED(CALL_VM("Shutdown", "a{sv}", 0), "InvalidState");
	ASSERT_DONE(call(DBUS_PATH, DBUS_INTERFACE_MANAGER, "ListJobs", &reply, ""));
	assert_true(sd_bus_message_enter_container(reply, 'a', "(usssto)") > 0);
	do
		assert_true(sd_bus_message_read(reply, "(usssto)", &id, &kind, &vm, &job_state,
						&started_at, &path) > 0);
	while (strcmp(path, fixture.job) != 0);
	assert_string_equal(job_state, "running");
	ASSERT_DONE(CALL_MANAGER("GetJob", "u", id));
	sd_bus_message_unref(reply);

	ASSERT_DONE(call(fixture.job, DBUS_INTERFACE_JOB, "Cancel", NULL, ""));
	assert_job("State", "cancelled");
	assert_job_error("org.vmms1.Error.Cancelled");
	assert_true(job_number("EndedAt") > 0);
	assert_false(job_flag("Cancellable"));
	assert_property("State", "running");
	ASSERT_REFUSED(call(fixture.job, DBUS_INTERFACE_JOB, "Wait", NULL, ""), "Cancelled");
	ASSERT_REFUSED(call(fixture.job, DBUS_INTERFACE_JOB, "Cancel", NULL, ""), "InvalidState");

	/* Turning the VM off ends the job, too. */
	ASSERT_DONE(begin_job("Shutdown", "a{sv}", 0));
	ASSERT_DONE(CALL_VM("TurnOff", ""));
	assert_job("State", "failed");
	assert_job_error("org.vmms1.Error.InvalidState");
}

static int open_file(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void test_job_of_a_copy(void **state)
{
	AUTO_CLOSE int fd = open_file();

	ASSERT_REFUSED(CALL_FILES("CopyFile", "hsa{sv}", fd, "/x", 0), "InvalidState");
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_REFUSED(CALL_FILES("CopyFile", "hsa{sv}", fd, "/x", 1, "x", "b", true),
		       "InvalidArgument");
	ASSERT_DBUS_REFUSED(CALL_FILES("CopyFile", "sa{sv}", "/x", 0), "InvalidArgs");
	ASSERT_DONE(begin_job("CopyFile", "hsa{sv}", fd, "/x", 0));
	assert_job("Kind", "copy");
	ASSERT_REFUSED(CALL_FILES("CopyFile", "hsa{sv}", fd, "/y", 0), "InvalidState");
	while (job_number("Done") == 0)
		pause_a_little();
	assert_int_equal(job_number("Done"), 1);
	assert_int_equal(job_number("Total"), 5);
	/* Beside it the VM can be changed, and frozen. */
	ASSERT_DONE(CALL_VM("Pause", ""));
	ASSERT_REFUSED(call(fixture.job, DBUS_INTERFACE_JOB, "Cancel", NULL, ""), "InvalidState");
	ASSERT_DONE(CALL_VM("Resume", ""));
	ASSERT_DONE(call(fixture.job, DBUS_INTERFACE_JOB, "Cancel", NULL, ""));
	ASSERT_REFUSED(call(fixture.job, DBUS_INTERFACE_JOB, "Wait", NULL, ""), "Cancelled");
	assert_job("State", "cancelled");
	/* One that the worker's end takes along. */
	ASSERT_DONE(begin_job("CopyFile", "hsa{sv}", fd, "/x", 0));
	ASSERT_DONE(CALL_VM("TurnOff", ""));
	assert_job("State", "failed");
}

static void test_job_of_a_dump(void **state)
{
	AUTO_CLOSE int fd = memfd_create("core", MFD_CLOEXEC);

	assert_true(fd >= 0);
	ASSERT_REFUSED(CALL_FILES("DumpMemory", "h", fd), "InvalidState");
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_DBUS_REFUSED(CALL_FILES("DumpMemory", "s", "/x"), "InvalidArgs");
	ASSERT_DONE(begin_job("DumpMemory", "h", fd));
	assert_job("Kind", "dump");
	ASSERT_REFUSED(CALL_FILES("DumpMemory", "h", fd), "InvalidState");
	while (job_number("Done") == 0)
		pause_a_little();
	assert_int_equal(job_number("Done"), 2);
	assert_int_equal(job_number("Total"), 5);
	ASSERT_DONE(call(fixture.job, DBUS_INTERFACE_JOB, "Cancel", NULL, ""));
	ASSERT_REFUSED(call(fixture.job, DBUS_INTERFACE_JOB, "Wait", NULL, ""), "Cancelled");
	assert_job("State", "cancelled");
	/* One that the worker's end takes along. */
	ASSERT_DONE(begin_job("DumpMemory", "h", fd));
	ASSERT_DONE(CALL_VM("TurnOff", ""));
	assert_job("State", "failed");
}

static void test_jobs_of_a_freeze(void **state)
{
	ASSERT_REFUSED(CALL_VM("Thaw", ""), "InvalidState");
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_REFUSED(CALL_VM("Freeze", "u", 0), "InvalidArgument");
	ASSERT_REFUSED(CALL_VM("Freeze", "u", UINT32_MAX), "InvalidArgument");
	ASSERT_DONE(CALL_JOB("Freeze", "u", 7));
	assert_job("State", "done");
	assert_property("FileSystems", "frozen");
	ASSERT_REFUSED(call(fixture.job, DBUS_INTERFACE_JOB, "Cancel", NULL, ""), "InvalidState");
	ASSERT_DONE(CALL_JOB("Thaw", ""));
	assert_property("FileSystems", "running");
}

static void test_jobs_that_are_none(void **state)
{
	static const char *const paths[] = { "/0", "/4294967295", "/00",
					     "/x", "/1/1",        "/99999999999999999999" };

	ASSERT_REFUSED(CALL_MANAGER("GetJob", "u", 0), "NoSuchJob");
	ASSERT_REFUSED(CALL_MANAGER("GetJob", "u", UINT32_MAX), "NoSuchJob");
	ASSERT_DBUS_REFUSED(CALL_MANAGER("GetJob", "s", "1"), "InvalidArgs");
	ASSERT_DBUS_REFUSED(CALL_MANAGER("ListJobs", "u", 1), "InvalidArgs");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char path[64];

		snprintf(path, sizeof(path), DBUS_JOB_PREFIX "%s", paths[i]);
		ASSERT_DBUS_REFUSED(call(path, DBUS_INTERFACE_JOB, "Cancel", NULL, ""),
				    "UnknownObject");
	}
}

static void test_ended_jobs_are_bounded(void **state)
{
	unsigned count = 0;
	sd_bus_message *reply = NULL;

	ASSERT_DONE(CALL_VM("Start", ""));
	for (int i = 0; i < 120; i++)
		ASSERT_DONE(CALL_JOB("Thaw", ""));
	ASSERT_DONE(call(DBUS_PATH, DBUS_INTERFACE_MANAGER, "ListJobs", &reply, ""));
	assert_true(sd_bus_message_enter_container(reply, 'a', "(usssto)") > 0);
	while (sd_bus_message_skip(reply, "(usssto)") > 0)
		count++;
	assert_int_equal(count, 100);
	assert_job("State", "done");
	sd_bus_message_unref(reply);
}

/* ---- The rest ---- */

static void test_shutdown_without_service(void **state)
{
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_REFUSED(CALL_JOB("Shutdown", "a{sv}", 0), "NotConnected");
	assert_property("State", "running");
	assert_job("State", "failed");
}

static void test_disks(void **state)
{
	static const char *const bad[] = { "",
					   "x",
					   "[]",
					   "{}",
					   "{\"path\": \"relative\"}",
					   "{\"path\": \"/x\", \"lun\": 64}",
					   "{\"path\": \"/x\", \"lun\": -1}",
					   "{\"path\": \"/x\", \"controller\": 4}",
					   "{\"path\": \"/x\", \"colour\": 1}",
					   "{\"path\": \"/x\", \"path\": \"/y\"}" };
	sd_bus_message *reply = NULL;
	uint32_t controller, lun;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ASSERT_REFUSED(CALL_VM("AttachDisk", "s", bad[i]), "InvalidArgument");
	ASSERT_REFUSED(CALL_VM("AttachDisk", "s", "{\"path\": \"/x\", \"lun\": 9}"), "Exists");
	ASSERT_DONE(call(fixture.vm, DBUS_INTERFACE_VM, "AttachDisk", &reply, "s",
			 "{\"type\": \"dvd\", \"controller\": 2}"));
	assert_true(sd_bus_message_read(reply, "uu", &controller, &lun) > 0);
	assert_int_equal(controller, 2);
	assert_int_equal(lun, 0);
	sd_bus_message_unref(reply);
	ASSERT_REFUSED(CALL_VM("DetachDisk", "uu", 2, 1), "NoSuchDisk");
	ASSERT_REFUSED(CALL_VM("DetachDisk", "uu", UINT32_MAX, UINT32_MAX), "NoSuchDisk");
	ASSERT_DONE(CALL_VM("DetachDisk", "uu", 2, 0));
}

static void test_a_controller_can_be_full(void **state)
{
	for (int i = 0; i < 64; i++)
		ASSERT_DONE(CALL_VM("AttachDisk", "s", "{\"type\": \"dvd\", \"controller\": 3}"));
	ASSERT_REFUSED(CALL_VM("AttachDisk", "s", "{\"type\": \"dvd\", \"controller\": 3}"),
		       "Exists");
}

/* A definition of the test's VM, with more members. */
#define CHANGED(more) "{\"name\": \"vm\", \"boot\": {\"kernel\": \"/bin/true\"}" more "}"

static void test_change_refuses(void **state)
{
	static const char *const bad[] = { "",
					   "{}",
					   "[]",
					   "{\"name\": \"vm\"}",
					   CHANGED(", \"colour\": 1"),
					   CHANGED(", \"version\": 3"),
					   CHANGED(", \"memory\": {\"size\": \"1\"}"),
					   CHANGED(", \"network_adapters\": [{\"tap\": \"t\"}]") };
	AUTO_FREE char *before = get_string("Definition"), *after = NULL;

	for (int running = 0; running < 2; running++) {
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
			ASSERT_REFUSED(CALL_VM("Change", "sa{sv}", bad[i], 0), "InvalidDefinition");
		ASSERT_REFUSED(CALL_VM("Change", "sa{sv}",
				       "{\"name\": \"vm2\", \"boot\": {\"kernel\": \"/k\"}}", 0),
			       "InvalidArgument");
		ASSERT_REFUSED(
			CALL_VM("Change", "sa{sv}",
				CHANGED(", \"uuid\": \"f8615163-df3e-46c5-913f-f2d2f965ed0e\""), 0),
			"InvalidArgument");
		ASSERT_REFUSED(CALL_VM("Change", "sa{sv}", CHANGED(""), 1, "force", "b", true),
			       "InvalidArgument");
		ASSERT_REFUSED(CALL_VM("Change", "sa{sv}", CHANGED(""), 1, "base", "u", 1),
			       "InvalidArgument");
		ASSERT_REFUSED(CALL_VM("Change", "sa{sv}", CHANGED(""), 1, "base", "s", "x"),
			       "InvalidDefinition");
		ASSERT_REFUSED(
			CALL_VM("Change", "sa{sv}", CHANGED(""), 1, "base", "s", CHANGED("")),
			"Conflict");
		ASSERT_DBUS_REFUSED(CALL_VM("Change", "s", CHANGED("")), "InvalidArgs");
		if (!running)
			ASSERT_DONE(CALL_VM("Start", ""));
	}
	after = get_string("Definition");
	assert_string_equal(after, before);
}

/* The one string of an array, or "" of an empty one. */
static void assert_words(sd_bus_message *reply, const char *expected)
{
	const char *word = "";

	assert_true(sd_bus_message_enter_container(reply, 'a', "s") >= 0);
	assert_true(sd_bus_message_read(reply, "s", &word) >= 0);
	assert_string_equal(word, expected);
	assert_true(sd_bus_message_at_end(reply, false));
	sd_bus_message_unref(reply);
}

static void assert_words_property(const char *property, const char *expected)
{
	sd_bus_message *reply = NULL;

	assert_true(sd_bus_get_property(fixture.bus, DBUS_NAME, fixture.vm, DBUS_INTERFACE_VM,
					property, NULL, &reply, "as") >= 0);
	assert_words(reply, expected);
}

static void test_change(void **state)
{
	AUTO_FREE char *base = NULL;
	sd_bus_message *reply = NULL;

	ASSERT_DONE(CALL_VM("Change", "sa{sv}", CHANGED(", \"tags\": [\"t\"]"), 0));
	assert_words_property("Tags", "t");
	assert_words_property("PendingChanges", "");
	ASSERT_DONE(CALL_VM("Start", ""));
	base = get_string("Definition");
	ASSERT_DONE(call(fixture.vm, DBUS_INTERFACE_VM, "Change", &reply, "sa{sv}",
			 CHANGED(", \"memory\": {\"size\": \"64M\"}, \"notes\": \"n\""), 1, "base",
			 "s", base));
	assert_words(reply, "memory.size");
	assert_words_property("PendingChanges", "memory.size");
	assert_words_property("Tags", "");
	assert_property("Notes", "n");
	ASSERT_DONE(CALL_VM("TurnOff", ""));
	assert_words_property("PendingChanges", "");
}

static void test_media(void **state)
{
	ASSERT_REFUSED(CALL_VM("InsertMedium", "uus", 0, 9, "relative"), "InvalidDefinition");
	ASSERT_REFUSED(CALL_VM("InsertMedium", "uus", 0, 9, ""), "InvalidDefinition");
	ASSERT_REFUSED(CALL_VM("InsertMedium", "uus", 0, 8, "/x"), "NoSuchDisk");
	ASSERT_REFUSED(CALL_VM("EjectMedium", "uua{sv}", 0, 9, 0), "InvalidState");
	ASSERT_DONE(CALL_VM("InsertMedium", "uus", 0, 9, "/x"));
	ASSERT_REFUSED(CALL_VM("InsertMedium", "uus", 0, 9, "/y"), "Exists");
	ASSERT_REFUSED(CALL_VM("Start", ""), "Resource");
	ASSERT_REFUSED(CALL_VM("EjectMedium", "uua{sv}", 0, 9, 1, "forced", "b", true),
		       "InvalidArgument");
	ASSERT_DONE(CALL_VM("EjectMedium", "uua{sv}", 0, 9, 1, "force", "b", true));
}

static void test_console(void **state)
{
	sd_bus_message *reply = NULL;
	struct pollfd ready;
	char text[64];
	int fd, typing;

	ASSERT_REFUSED(CALL_FILES("OpenConsole", "a{sv}", 1, "loud", "b", true), "InvalidArgument");
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_DONE(call(fixture.vm, DBUS_INTERFACE_FILES, "OpenConsole", &reply, "a{sv}", 0));
	assert_true(sd_bus_message_read(reply, "hb", &fd, &typing) > 0);
	assert_true(typing);
	ready = (struct pollfd){ fd, POLLIN, 0 };
	assert_int_equal(poll(&ready, 1, TIMEOUT * 1000), 1);
	assert_true(recv(fd, text, sizeof(text), 0) > 0);
	assert_memory_equal(text, "guest: begin", 12);
	sd_bus_message_unref(reply);
}

static void test_processors(void **state)
{
	sd_bus_message *reply = NULL;
	uint32_t sockets, cores, threads;
	const char *text;

	assert_true(sd_bus_get_property(fixture.bus, DBUS_NAME, fixture.vm, DBUS_INTERFACE_VM,
					"Topology", NULL, &reply, "(uuu)") >= 0);
	assert_true(sd_bus_message_read(reply, "(uuu)", &sockets, &cores, &threads) > 0);
	assert_int_equal(sockets * cores * threads, 1);
	sd_bus_message_unref(reply);
	assert_true(sd_bus_get_property(fixture.bus, DBUS_NAME, fixture.vm, DBUS_INTERFACE_VM,
					"ProcessorModel", NULL, &reply, "s") >= 0);
	assert_true(sd_bus_message_read(reply, "s", &text) > 0);
	assert_string_equal(text, "host");
	sd_bus_message_unref(reply);
	ASSERT_DBUS_REFUSED(CALL_VM("GetProcessors", "u", 1), "InvalidArgs");
	ASSERT_DONE(CALL_VM("GetProcessors", ""));
	ASSERT_DONE(CALL_VM("GetFirmware", ""));
	ASSERT_REFUSED(CALL_VM("StartFrom", "s", "floppy"), "InvalidArgument");
	ASSERT_REFUSED(CALL_VM("StartFrom", "s", "disk"), "InvalidArgument");
	ASSERT_REFUSED(CALL_VM("ReadVariables", ""), "HostNotCapable");
	ASSERT_REFUSED(CALL_VM("ResetVariables", ""), "HostNotCapable");
}

static void test_log_and_statistics(void **state)
{
	sd_bus_message *reply = NULL;
	const char *text;

	ASSERT_DBUS_REFUSED(CALL_VM("GetLog", ""), "InvalidArgs");
	ASSERT_DBUS_REFUSED(CALL_VM("GetLog", "i", -1), "InvalidArgs");
	ASSERT_DONE(CALL_VM("GetLog", "u", UINT32_MAX));
	ASSERT_DONE(call(fixture.vm, DBUS_INTERFACE_VM, "GetLog", &reply, "u", 1));
	assert_true(sd_bus_message_has_signature(reply, "a(ttyss)"));
	sd_bus_message_unref(reply);
	ASSERT_DBUS_REFUSED(CALL_VM("GetStatistics", "u", 1), "InvalidArgs");
	ASSERT_DBUS_REFUSED(CALL_MANAGER("GetStatistics", "s", "vm"), "InvalidArgs");
	ASSERT_DONE(CALL_MANAGER("GetStatistics", ""));
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_DONE(call(fixture.vm, DBUS_INTERFACE_VM, "GetStatistics", &reply, ""));
	assert_true(sd_bus_message_read(reply, "s", &text) > 0);
	assert_non_null(strstr(text, "\"io-port\":1000,"));
	sd_bus_message_unref(reply);
}

static void test_inspect(void **state)
{
	sd_bus_message *reply = NULL;
	const char *text;

	ASSERT_DBUS_REFUSED(CALL_VM("Inspect", "s", "vps"), "InvalidArgs");
	ASSERT_REFUSED(CALL_VM("Inspect", "su", "vps", 0), "InvalidState");
	ASSERT_DONE(CALL_VM("Start", ""));
	ASSERT_REFUSED(CALL_VM("Inspect", "su", "soul", 0), "InvalidArgument");
	ASSERT_DONE(call(fixture.vm, DBUS_INTERFACE_VM, "Inspect", &reply, "su", "vps", 1));
	assert_true(sd_bus_message_read(reply, "s", &text) > 0);
	assert_string_equal(text, "{\"vps\":[{\"vp\":1}],\"next\":2}");
	sd_bus_message_unref(reply);
}

static void test_adapters(void **state)
{
	static const char *const bad[] = { "",
					   "x",
					   "[]",
					   "{\"name\": \"a b\"}",
					   "{\"mac\": \"ff:ff:ff:ff:ff:ff\"}",
					   "{\"switch\": \"\"}",
					   "{\"colour\": 1}",
					   "{\"vlan\": {\"access\": 7}}",
					   "{\"forward\": [\"0:0\"]}" };
	sd_bus_message *reply = NULL;
	const char *name;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_REFUSED(CALL_VM("AddAdapter", "s", bad[i]), "InvalidArgument");
		ASSERT_REFUSED(CALL_VM("ChangeAdapter", "ss", "x", bad[i]), "InvalidArgument");
	}
	ASSERT_REFUSED(CALL_VM("AddAdapter", "s", "{\"tap\": \"tap0\"}"), "InvalidDefinition");
	ASSERT_DONE(call(fixture.vm, DBUS_INTERFACE_VM, "AddAdapter", &reply, "s",
			 "{\"name\": \"a\", \"switch\": \"none\"}"));
	assert_true(sd_bus_message_read(reply, "s", &name) > 0);
	assert_string_equal(name, "a");
	sd_bus_message_unref(reply);
	ASSERT_REFUSED(CALL_VM("AddAdapter", "s", "{\"name\": \"a\"}"), "Exists");
	ASSERT_REFUSED(CALL_VM("ChangeAdapter", "ss", "b", "{}"), "NoSuchAdapter");
	ASSERT_REFUSED(CALL_VM("RemoveAdapter", "s", ""), "NoSuchAdapter");
	ASSERT_REFUSED(CALL_FILES("OpenCapture", "sa{sv}", "b", 0), "NoSuchAdapter");
	ASSERT_REFUSED(CALL_FILES("OpenCapture", "sa{sv}", "a", 0), "InvalidState");
	ASSERT_REFUSED(CALL_FILES("OpenCapture", "sa{sv}", "a", 1, "x", "b", true),
		       "InvalidArgument");
	ASSERT_REFUSED(CALL_FILES("OpenCapture", "sa{sv}", "a", 1, "snap-length", "u", UINT32_MAX),
		       "InvalidArgument");
	ASSERT_DONE(CALL_VM("ChangeAdapter", "ss", "a", "{\"name\": \"b\"}"));
	ASSERT_DONE(CALL_VM("RemoveAdapter", "s", "b"));
}

static void test_switches(void **state)
{
	static const char *const bad[] = { "",
					   "x",
					   "[]",
					   "{}",
					   "{\"name\": \"lan\"}",
					   "{\"name\": \"default\", \"type\": \"private\"}" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ASSERT_REFUSED(CALL_MANAGER("CreateSwitch", "sa{sv}", bad[i], 0),
			       "InvalidDefinition");
	ASSERT_REFUSED(CALL_MANAGER("CreateSwitch", "sa{sv}",
				    "{\"name\": \"lan\", \"type\": \"private\"}", 1, "x", "b",
				    true),
		       "InvalidArgument");
	ASSERT_REFUSED(CALL_MANAGER("GetSwitch", "s", "lan"), "NoSuchSwitch");
	ASSERT_REFUSED(CALL_MANAGER("DeleteSwitch", "s", ""), "NoSuchSwitch");
	ASSERT_DONE(CALL_MANAGER("ListSwitches", ""));
	ASSERT_DBUS_REFUSED(call("/org/vmms1/switch/x", "org.vmms1.Switch", "Delete", NULL, ""),
			    "UnknownObject");
}

static void test_host_report(void **state)
{
	sd_bus_message *reply = NULL;
	const char *report;

	ASSERT_DONE(call(DBUS_PATH, DBUS_INTERFACE_MANAGER, "HostReport", &reply, ""));
	assert_true(sd_bus_message_read(reply, "s", &report) > 0);
	assert_non_null(strstr(report, "a fake host"));
	sd_bus_message_unref(reply);
}

static void test_check_host(void **state)
{
	sd_bus_message *reply = NULL;
	const char *report;

	ASSERT_DONE(call(DBUS_PATH, DBUS_INTERFACE_MANAGER, "CheckHost", &reply, ""));
	assert_true(sd_bus_message_read(reply, "s", &report) > 0);
	assert_non_null(strstr(report, "\"version\":\"" VMMS_VERSION "\""));
	assert_non_null(strstr(report, "\"name\":\"kvm\",\"verdict\":\"ok\""));
	sd_bus_message_unref(reply);
	ASSERT_DBUS_REFUSED(CALL_MANAGER("CheckHost", "s", "everything"), "InvalidArgs");
}

static void test_objects_that_are_none(void **state)
{
	static const char *const paths[] = {
		DBUS_VM_PREFIX "/x",
		DBUS_VM_PREFIX "/00000000_0000_0000_0000_000000000000",
		DBUS_VM_PREFIX "/00000000_0000_0000_0000_000000000000/x",
		"/org/vmms1/host",
	};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		ASSERT_DBUS_REFUSED(call(paths[i], DBUS_INTERFACE_VM, "Start", NULL, ""),
				    "UnknownObject");
	ASSERT_DBUS_REFUSED(call(fixture.vm, DBUS_INTERFACE_MANAGER, "Reload", NULL, ""),
			    "UnknownMethod");
}

/* ---- Properties ---- */

static void test_properties(void **state)
{
	AUTO_FREE char *definition = get_string("Definition");
	sd_bus_message *reply = NULL;

	assert_non_null(strstr(definition, "\"name\": \"vm\""));
	assert_property("Name", "vm");
	assert_property("Engine", "auto");
	assert_property("Heartbeat", "unknown");
	ASSERT_DBUS_REFUSED(call(fixture.vm, PROPERTIES, "Set", NULL, "ssv", DBUS_INTERFACE_VM,
				 "Name", "s", "x"),
			    "PropertyReadOnly");
	ASSERT_DBUS_REFUSED(
		call(fixture.vm, PROPERTIES, "Get", NULL, "ss", DBUS_INTERFACE_VM, "Colour"),
		"UnknownProperty");
	ASSERT_DONE(call(fixture.vm, PROPERTIES, "GetAll", &reply, "s", DBUS_INTERFACE_VM));
	sd_bus_message_unref(reply);
	ASSERT_DONE(CALL_VM("Start", ""));
	assert_property("Engine", "user-space");
	assert_property("VMBusVersion", "5.3");
}

/* ---- Signals ---- */

static int on_signal(sd_bus_message *message, void *data, sd_bus_error *error)
{
	size_t used = strlen(fixture.signals);
	const char *interface, *property;

	snprintf(fixture.signals + used, sizeof(fixture.signals) - used, "%s ",
		 sd_bus_message_get_member(message));
	if (sd_bus_message_is_signal(message, OBJECTS, "InterfacesAdded"))
		assert_true(sd_bus_message_has_signature(message, "oa{sa{sv}}"));
	if (strcmp(sd_bus_message_get_member(message), "PropertiesChanged") != 0)
		return 0;
	assert_true(sd_bus_message_read(message, "s", &interface) > 0);
	assert_true(sd_bus_message_enter_container(message, 'a', "{sv}") > 0);
	while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
		assert_true(sd_bus_message_read(message, "s", &property) > 0);
		assert_true(sd_bus_message_skip(message, "v") > 0);
		assert_true(sd_bus_message_exit_container(message) > 0);
		used = strlen(fixture.signals);
		snprintf(fixture.signals + used, sizeof(fixture.signals) - used, "%s ", property);
	}
	return 0;
}

/* Until signals name that; what came until then is forgotten. */
static void expect_signal(const char *text)
{
	time_t until = time(NULL) + TIMEOUT;

	while (!strstr(fixture.signals, text)) {
		if (time(NULL) > until)
			fail_msg("no signal '%s' in: %s", text, fixture.signals);
		while (sd_bus_process(fixture.bus, NULL) > 0)
			;
		if (!strstr(fixture.signals, text))
			sd_bus_wait(fixture.bus, 100000);
	}
	fixture.signals[0] = '\0';
}

static void test_signals(void **state)
{
	sd_bus_slot *slot = NULL;

	assert_true(sd_bus_match_signal(fixture.bus, &slot, DBUS_NAME, NULL, NULL, NULL, on_signal,
					NULL) >= 0);
	ASSERT_DONE(CALL_MANAGER("Subscribe", ""));
	create("signals", "");
	expect_signal("InterfacesAdded");
	ASSERT_DONE(CALL_VM("Start", ""));
	expect_signal("State");
	ASSERT_DONE(CALL_VM("Pause", ""));
	expect_signal("State");
	ASSERT_DONE(CALL_VM("Reset", ""));
	expect_signal("Resets");
	ASSERT_DONE(CALL_VM("Change", "sa{sv}",
			    "{\"name\": \"signals\", \"boot\": {\"kernel\": \"/k\"}}", 0));
	expect_signal("PendingChanges");
	ASSERT_DONE(CALL_JOB("Thaw", ""));
	expect_signal("InterfacesAdded PropertiesChanged State Error");
	ASSERT_DONE(CALL_VM("TurnOff", ""));
	expect_signal("WorkerPID");
	ASSERT_DONE(CALL_VM("Delete", ""));
	expect_signal("InterfacesRemoved");
	sd_bus_slot_unref(slot);
}

static void write_definition(const char *text)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/state/vms/hand.json", fixture.folder);
	if (text[0] == '\0') {
		assert_int_equal(unlink(path), 0);
		return;
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

#define BY_HAND(count)                                                              \
	"{\"name\": \"hand\", \"uuid\": \"f8615163-df3e-46c5-913f-f2d2f965ed0e\", " \
	"\"boot\": {\"kernel\": \"/k\"}, \"processors\": {\"count\": " count "}}"

static void test_signals_of_a_reload(void **state)
{
	static const struct {
		const char *text, *signal;
	} steps[] = {
		{ BY_HAND("1"), "InterfacesAdded" },
		{ BY_HAND("2"), "Processors" },
		{ BY_HAND("4, \"threads\": 2"), "Topology" },
		{ "{", "InterfacesRemoved PropertiesChanged BrokenDefinitions" },
		{ BY_HAND("2"), "InterfacesAdded" },
		{ "", "InterfacesRemoved" },
	};
	sd_bus_slot *slot = NULL;

	assert_true(sd_bus_match_signal(fixture.bus, &slot, DBUS_NAME, NULL, NULL, NULL, on_signal,
					NULL) >= 0);
	ASSERT_DONE(CALL_MANAGER("Subscribe", ""));
	fixture.signals[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		write_definition(steps[i].text);
		ASSERT_DONE(CALL_MANAGER("Reload", ""));
		expect_signal(steps[i].signal);
	}
	sd_bus_slot_unref(slot);
}

static void test_managed_objects(void **state)
{
	sd_bus_message *reply = NULL;
	const char *path;

	ASSERT_DONE(call(DBUS_PATH, OBJECTS, "GetManagedObjects", &reply, ""));
	assert_true(sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}") > 0);
	/* Among jobs of the tests before. */
	do {
		assert_true(sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}") > 0);
		assert_true(sd_bus_message_read(reply, "o", &path) > 0);
		assert_true(sd_bus_message_skip(reply, "a{sa{sv}}") > 0);
		assert_true(sd_bus_message_exit_container(reply) > 0);
	} while (strcmp(path, fixture.vm) != 0);
	sd_bus_message_unref(reply);
}

/* ---- Callers that leave ---- */

static void test_caller_leaves_before_the_answer(void **state)
{
	sd_bus *bus = fixture.bus;

	for (int i = 0; i < 3; i++) {
		fixture.bus = NULL;
		assert_int_equal(try_connect(), 0);
		assert_true(sd_bus_call_method_async(
				    fixture.bus, NULL, DBUS_NAME, fixture.vm, DBUS_INTERFACE_VM,
				    i == 1 ? "TurnOff" : "Start", NULL, NULL, "") >= 0);
		sd_bus_flush_close_unref(fixture.bus);
	}
	fixture.bus = bus;
	ASSERT_DONE(CALL_MANAGER("GetVM", "s", "vm"));
}

#define WITH_VM(test) cmocka_unit_test_setup_teardown(test, create_vm, delete_vm)

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_refuses),
		cmocka_unit_test(test_host_report),
		cmocka_unit_test(test_check_host),
		cmocka_unit_test(test_switches),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_signals_of_a_reload),
		WITH_VM(test_names),
		WITH_VM(test_list),
		WITH_VM(test_what_states_refuse),
		WITH_VM(test_shutdown_options),
		cmocka_unit_test_setup_teardown(test_shutdown_without_service, create_unwilling_vm,
						delete_vm),
		cmocka_unit_test_setup_teardown(test_job_of_a_shutdown, create_slow_vm, delete_vm),
		cmocka_unit_test_setup_teardown(test_job_of_a_copy, create_slow_vm, delete_vm),
		cmocka_unit_test_setup_teardown(test_job_of_a_dump, create_slow_vm, delete_vm),
		WITH_VM(test_jobs_of_a_freeze),
		WITH_VM(test_jobs_that_are_none),
		WITH_VM(test_ended_jobs_are_bounded),
		WITH_VM(test_disks),
		WITH_VM(test_adapters),
		WITH_VM(test_a_controller_can_be_full),
		WITH_VM(test_change_refuses),
		WITH_VM(test_change),
		WITH_VM(test_media),
		WITH_VM(test_console),
		WITH_VM(test_processors),
		WITH_VM(test_log_and_statistics),
		WITH_VM(test_inspect),
		WITH_VM(test_objects_that_are_none),
		WITH_VM(test_properties),
		WITH_VM(test_managed_objects),
		WITH_VM(test_caller_leaves_before_the_answer),
	};

	if (argc != 3)
		return 2;
	vmms_path = argv[1];
	worker_path = argv[2];
	return cmocka_run_group_tests(tests, start_all, stop_all);
}
