/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VM definitions: every key, defaults, refusals with line and key, writing again. */
#include "common/base/cc.h"
#include "common/definition/definition.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FIXED         "\"name\": \"a\", \"boot\": {\"kernel\": \"/k\"}"
#define UUID          "f8615163-df3e-46c5-913f-f2d2f965ed0e"
#define GENERATION_ID "6bb8cd33-4a05-4b21-9d33-7a1a3b0b9d9e"
#define DISK_A        "{\"path\": \"/a\"}"

static struct json_error last;

static struct definition *parse(const char *text)
{
	struct definition *definition = NULL;

	last = (struct json_error){ 0 };
	if (definition_parse(text, strlen(text), &definition, &last) < 0)
		assert_null(definition);
	return definition;
}

static const char full_text[] =
	"{\n"
	" \"version\": 2,\n"
	" \"name\": \"debian-12.test_a\",\n"
	" \"uuid\": \"" UUID "\",\n"
	" \"generation_id\": \"" GENERATION_ID "\",\n"
	" \"notes\": \"two\\nlines\",\n"
	" \"tags\": [\"web\", \"site:b/rack.7\"],\n"
	" \"processors\": {\"count\": 8, \"sockets\": 2, \"cores\": 2, "
	"\"threads\": 2},\n"
	" \"memory\": {\"size\": \"2G\", \"pages\": \"hugetlb\", "
	"\"shared\": true},\n"
	" \"engine\": \"user-space\",\n"
	" \"hyper_v\": {\"synthetic_timers\": true, \"apic_msrs\": false},\n"
	" \"boot\": {\"kernel\": \"/boot/vmlinuz\", \"initrd\": "
	"\"/boot/initrd\", \"command_line\": \"console=ttyS0 quiet\"},\n"
	" \"disks\": [\n"
	"  {\"controller\": 3, \"lun\": 63, \"type\": \"disk\", \"path\": "
	"\"/disk\", \"format\": \"raw\", \"serial\": \"S-1\", \"read_only\": "
	"true, \"cache\": \"buffered\", \"sector_size\": 4096},\n"
	"  {\"lun\": 1, \"type\": \"dvd\"}\n"
	" ],\n"
	" \"keyboard\": true, \"mouse\": true, \"video\": {\"width\": 1280, \"height\": 800},\n"
	" \"services\": {\"shutdown\": false, \"heartbeat\": false, \"time\": false, "
	"\"kvp\": false, \"vss\": false, \"file_copy\": false, \"sockets\": false,\n"
	"\"hibernation\": true},\n"
	" \"actions\": {\"reboot\": \"stop\", \"triple_fault\": \"keep\", "
	"\"crash\": \"restart\", \"crash_grace\": 3600, \"worker_failure\": \"restart\"},\n"
	" \"automatic_start\": {\"action\": \"start\", \"delay\": 30, \"order\": 7},\n"
	" \"automatic_stop\": {\"action\": \"turn-off\", \"timeout\": 90}, \"cluster\": true,\n"
	" \"resources\": {\"cpu_weight\": 200, \"cpu_quota\": 150, \"memory_high\": \"64M\", "
	"\"memory_max\": \"1G\", \"io_weight\": 10000, \"io_read_bandwidth\": \"64K\", "
	"\"io_write_bandwidth\": \"10M\", \"io_read_operations\": 10, "
	"\"io_write_operations\": 5000, \"tasks_max\": 128}\n"
	"}\n";

static void assert_full(const struct definition *definition)
{
	char uuid[GUID_TEXT_SIZE], generation_id[GUID_TEXT_SIZE];

	guid_format(&definition->uuid, uuid);
	guid_format(&definition->generation_id, generation_id);
	assert_string_equal(generation_id, GENERATION_ID);
	assert_string_equal(definition->name, "debian-12.test_a");
	assert_string_equal(uuid, UUID);
	assert_string_equal(definition->notes, "two\nlines");
	assert_int_equal(definition->processors.count, 8);
	assert_int_equal(definition->processors.sockets, 2);
	assert_int_equal(definition->processors.cores, 2);
	assert_int_equal(definition->processors.threads, 2);
	assert_int_equal(definition->memory.size, UINT64_C(2) << 30);
	assert_int_equal(definition->memory.pages, DEFINITION_PAGES_HUGETLB);
	assert_true(definition->memory.shared);
	assert_int_equal(definition->engine, DEFINITION_ENGINE_USER);
	assert_true(definition->hyper_v[ENLIGHTENMENT_SYNTHETIC_TIMERS]);
	assert_false(definition->hyper_v[ENLIGHTENMENT_APIC_MSRS]);
	assert_string_equal(definition->boot.kernel, "/boot/vmlinuz");
	assert_string_equal(definition->boot.initrd, "/boot/initrd");
	assert_string_equal(definition->boot.command_line, "console=ttyS0 quiet");
	assert_true(definition->keyboard);
	assert_true(definition->mouse);
	assert_true(definition->video.present);
	assert_int_equal(definition->video.width, 1280);
	assert_int_equal(definition->video.height, 800);
	assert_false(definition->services.shutdown);
	assert_false(definition->services.heartbeat);
	assert_false(definition->services.time);
	assert_false(definition->services.kvp);
	assert_false(definition->services.vss);
	assert_false(definition->services.file_copy);
	assert_false(definition->services.sockets);
	assert_true(definition->services.hibernation);
	assert_int_equal(definition->actions.reboot, DEFINITION_ACTION_STOP);
	assert_int_equal(definition->actions.triple_fault, DEFINITION_ACTION_KEEP);
	assert_int_equal(definition->actions.crash, DEFINITION_ACTION_RESTART);
	assert_int_equal(definition->actions.crash_grace, 3600);
	assert_int_equal(definition->actions.worker_failure, DEFINITION_FAILURE_RESTART);
	assert_int_equal(definition->tags.count, 2);
	assert_string_equal(definition->tags.tags[0], "web");
	assert_string_equal(definition->tags.tags[1], "site:b/rack.7");
	assert_int_equal(definition->automatic_start.action, DEFINITION_START_ALWAYS);
	assert_int_equal(definition->automatic_start.delay, 30);
	assert_int_equal(definition->automatic_start.order, 7);
	assert_int_equal(definition->automatic_stop.action, DEFINITION_STOP_TURN_OFF);
	assert_int_equal(definition->automatic_stop.timeout, 90);
	assert_true(definition->cluster);
	assert_int_equal(definition->resources.cpu_weight, 200);
	assert_int_equal(definition->resources.cpu_quota, 150);
	assert_int_equal(definition->resources.memory_high, UINT64_C(64) << 20);
	assert_int_equal(definition->resources.memory_max, UINT64_C(1) << 30);
	assert_int_equal(definition->resources.io_weight, 10000);
	assert_int_equal(definition->resources.io_read_bandwidth, UINT64_C(64) << 10);
	assert_int_equal(definition->resources.io_write_bandwidth, UINT64_C(10) << 20);
	assert_int_equal(definition->resources.io_read_operations, 10);
	assert_int_equal(definition->resources.io_write_operations, 5000);
	assert_int_equal(definition->resources.tasks_max, 128);
	assert_int_equal(definition->disk_count, 2);
	assert_int_equal(definition->disks[0].controller, 3);
	assert_int_equal(definition->disks[0].lun, 63);
	assert_int_equal(definition->disks[0].drive, DEFINITION_DRIVE_DISK);
	assert_string_equal(definition->disks[0].path, "/disk");
	assert_string_equal(definition->disks[0].format, "raw");
	assert_string_equal(definition->disks[0].serial, "S-1");
	assert_true(definition->disks[0].read_only);
	assert_int_equal(definition->disks[0].cache, DEFINITION_CACHE_BUFFERED);
	assert_int_equal(definition->disks[0].sector_size, 4096);
	assert_int_equal(definition->disks[1].controller, 0);
	assert_int_equal(definition->disks[1].lun, 1);
	assert_int_equal(definition->disks[1].drive, DEFINITION_DRIVE_DVD);
	assert_null(definition->disks[1].path);
	assert_null(definition->disks[1].serial);
	assert_true(definition->disks[1].read_only);
	assert_int_equal(definition->disks[1].sector_size, DEFINITION_DVD_SECTOR_SIZE);
}

static void test_every_key(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = parse(full_text);

	if (!definition)
		fail_msg("%d: %s: %s", last.line, last.key, last.message);
	assert_full(definition);
}

static void test_written_is_read_back(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = parse(full_text);
	CLEANUP(definition_freep) struct definition *again = NULL;
	AUTO_JSON struct json_object *tree = NULL;

	assert_non_null(definition);
	tree = definition_to_json(definition);
	assert_non_null(tree);
	again = parse(json_object_to_json_string(tree));
	if (!again)
		fail_msg("%s: %s", last.key, last.message);
	assert_full(again);
}

static void test_defaults(void **state)
{
	CLEANUP(definition_freep)
	struct definition *definition = parse("{" FIXED ", \"disks\": [" DISK_A "]}");

	assert_non_null(definition);
	assert_true(guid_is_null(&definition->uuid));
	assert_true(guid_is_null(&definition->generation_id));
	assert_string_equal(definition->notes, "");
	assert_int_equal(definition->processors.count, 1);
	assert_int_equal(definition->processors.cores, 1);
	assert_int_equal(definition->memory.size, DEFINITION_MEMORY_DEFAULT);
	assert_int_equal(definition->memory.pages, DEFINITION_PAGES_TRANSPARENT);
	assert_false(definition->memory.shared);
	assert_int_equal(definition->engine, DEFINITION_ENGINE_AUTO);
	assert_false(definition->hyper_v[ENLIGHTENMENT_SYNTHETIC_TIMERS]);
	assert_true(definition->hyper_v[ENLIGHTENMENT_APIC_MSRS]);
	assert_null(definition->boot.initrd);
	assert_string_equal(definition->boot.command_line, "");
	assert_false(definition->keyboard);
	assert_false(definition->mouse);
	assert_false(definition->video.present);
	assert_true(definition->services.shutdown);
	assert_true(definition->services.heartbeat);
	assert_true(definition->services.time);
	assert_true(definition->services.kvp);
	assert_true(definition->services.vss);
	assert_true(definition->services.file_copy);
	assert_true(definition->services.sockets);
	assert_false(definition->services.hibernation);
	assert_int_equal(definition->actions.reboot, DEFINITION_ACTION_RESTART);
	assert_int_equal(definition->actions.triple_fault, DEFINITION_ACTION_RESTART);
	assert_int_equal(definition->actions.crash, DEFINITION_ACTION_STOP);
	assert_int_equal(definition->actions.crash_grace, DEFINITION_CRASH_GRACE);
	assert_int_equal(definition->actions.worker_failure, DEFINITION_FAILURE_STOP);
	assert_int_equal(definition->tags.count, 0);
	assert_int_equal(definition->automatic_start.action, DEFINITION_START_NONE);
	assert_int_equal(definition->automatic_start.delay, 0);
	assert_int_equal(definition->automatic_start.order, DEFINITION_START_ORDER);
	assert_int_equal(definition->automatic_stop.action, DEFINITION_STOP_SAVE);
	assert_int_equal(definition->automatic_stop.timeout, 0);
	assert_false(definition->cluster);
	assert_memory_equal(&definition->resources, &(struct definition_resources){ 0 },
			    sizeof(definition->resources));
	assert_int_equal(definition->disks[0].controller, 0);
	assert_int_equal(definition->disks[0].lun, 0);
	assert_string_equal(definition->disks[0].format, "raw");
	assert_false(definition->disks[0].read_only);
	assert_int_equal(definition->disks[0].cache, DEFINITION_CACHE_DIRECT);
	assert_int_equal(definition->disks[0].sector_size, 512);
}

static void test_dynamic_memory(void **state)
{
	struct definition *definition = parse("{" FIXED "}"), *copy;

	assert_false(definition->memory.dynamic.on);
	assert_int_equal(definition_memory_most(&definition->memory), DEFINITION_MEMORY_DEFAULT);
	definition_free(definition);

	definition = parse("{" FIXED ", \"memory\": {\"size\": \"2G\", \"dynamic\": {}}}");
	assert_true(definition->memory.dynamic.on && definition->memory.dynamic.automatic);
	assert_int_equal(definition->memory.dynamic.minimum, UINT64_C(512) << 20);
	assert_int_equal(definition->memory.dynamic.maximum, UINT64_C(2) << 30);
	assert_int_equal(definition->memory.dynamic.buffer, 20);
	definition_free(definition);

	definition = parse("{" FIXED ", \"memory\": {\"dynamic\": {\"minimum\": \"64M\", "
			   "\"maximum\": \"4G\", \"buffer\": 5, \"automatic\": false}}}");
	assert_int_equal(definition_copy(definition, &copy), 0);
	assert_true(copy->memory.dynamic.on);
	assert_false(copy->memory.dynamic.automatic);
	assert_int_equal(copy->memory.dynamic.minimum, UINT64_C(64) << 20);
	assert_int_equal(copy->memory.dynamic.buffer, 5);
	assert_int_equal(definition_memory_most(&copy->memory), UINT64_C(4) << 30);
	definition_free(copy);
	definition_free(definition);
}

static void test_topology(void **state)
{
	static const struct {
		const char *text;
		unsigned count, sockets, cores, threads; /* count 0: refused */
	} cases[] = {
		{ "{}", 1, 1, 1, 1 },
		{ "{\"count\": 4}", 4, 1, 4, 1 },
		{ "{\"count\": 4, \"threads\": 2}", 4, 1, 2, 2 },
		{ "{\"sockets\": 2, \"cores\": 3}", 6, 2, 3, 1 },
		{ "{\"count\": 240}", 240, 1, 240, 1 },
		{ "{\"sockets\": 5, \"cores\": 3, \"threads\": 16}", 240, 5, 3, 16 },
		{ "{\"count\": 4, \"sockets\": 2, \"cores\": 2, \"threads\": 1}", 4, 2, 2, 1 },
		{ "{\"count\": 3, \"threads\": 2}", 0, 0, 0, 0 },
		{ "{\"count\": 2, \"sockets\": 4}", 0, 0, 0, 0 },
		{ "{\"count\": 4, \"cores\": 3}", 0, 0, 0, 0 },
		{ "{\"sockets\": 240, \"cores\": 240, \"threads\": 240}", 0, 0, 0, 0 },
		{ "{\"sockets\": 241, \"cores\": 1}", 0, 0, 0, 0 },
		{ "{\"count\": 241}", 0, 0, 0, 0 },
		{ "{\"count\": 0}", 0, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(definition_freep) struct definition *definition = NULL;
		char text[256];

		snprintf(text, sizeof(text), "{" FIXED ", \"processors\": %s}", cases[i].text);
		definition = parse(text);
		if ((definition != NULL) != (cases[i].count != 0))
			fail_msg("%s: %s", cases[i].text, last.message);
		if (!definition)
			continue;
		assert_int_equal(definition->processors.count, cases[i].count);
		assert_int_equal(definition->processors.sockets, cases[i].sockets);
		assert_int_equal(definition->processors.cores, cases[i].cores);
		assert_int_equal(definition->processors.threads, cases[i].threads);
	}
}

static void test_refuses(void **state)
{
	static const struct {
		const char *text;
		int line;
		const char *key;
	} cases[] = {
		{ "{\n}", 1, "name" },
		{ "{\"name\": \"a\"}", 1, "boot" },
		{ "{\"name\": \"a\",\n\"boot\": {}}", 2, "boot.kernel" },
		{ "{\"name\": \"a\",\n\"generation\": 3}", 2, "generation" },
		{ "{\"name\": \"a\",\n\"generation\": 0}", 2, "generation" },
		{ "{\"name\": \"a\", \"generation\": 1,\n\"boot\": {}}", 2, "boot" },
		{ "{\"name\": \"a\", \"generation\": 2,\n\"boot\": {}}", 2, "boot" },
		{ "{\"name\": \"a\", \"generation\": 1,\n\"boot_order\": \"dvd\"}", 2,
		  "boot_order" },
		{ "{\"name\": \"a\", \"generation\": 1,\n\"boot_order\": [\"x\"]}", 2,
		  "boot_order[0]" },
		{ "{\"name\": \"a\", \"generation\": 1,\n\"boot_order\": [\"dvd\", \"dvd\"]}", 2,
		  "boot_order[1]" },
		{ "{" FIXED ",\n\"boot_order\": []}", 2, "boot_order" },
		{ "{\"boot\": {\"kernel\": \"/k\"}}", 1, "name" },
		{ "{" FIXED ",\n\n\"version\": 3}", 3, "version" },
		{ "{" FIXED ", \"version\": 0}", 1, "version" },
		{ "{" FIXED ", \"version\": -1}", 1, "version" },
		{ "{" FIXED ", \"version\": \"1\"}", 1, "version" },
		{ "{" FIXED ",\n\"colour\": 1}", 2, "colour" },
		{ "{" FIXED ",\n\"name\": \"b\"}", 2, "name" },
		{ "{\"boot\": {\"kernel\": \"/k\"}, \"name\": \"\"}", 1, "name" },
		{ "{\"boot\": {\"kernel\": \"/k\"}, \"name\": \"-a\"}", 1, "name" },
		{ "{\"boot\": {\"kernel\": \"/k\"}, \"name\": \"../a\"}", 1, "name" },
		{ "{\"boot\": {\"kernel\": \"/k\"}, \"name\": \"a b\"}", 1, "name" },
		{ "{\"boot\": {\"kernel\": \"/k\"}, \"name\": \"\u00e9\"}", 1, "name" },
		{ "{\"boot\": {\"kernel\": \"/k\"}, \"name\": 7}", 1, "name" },
		{ "{" FIXED ", \"uuid\": \"x\"}", 1, "uuid" },
		{ "{" FIXED ", \"generation_id\": \"00000000-0000-0000-0000-000000000000\"}", 1,
		  "generation_id" },
		{ "{" FIXED ", \"notes\": []}", 1, "notes" },
		{ "{" FIXED ", \"tags\": \"a\"}", 1, "tags" },
		{ "{" FIXED ", \"tags\": [\"a\",\n\"a\"]}", 2, "tags[1]" },
		{ "{" FIXED ", \"tags\": [\"\"]}", 1, "tags[0]" },
		{ "{" FIXED ", \"tags\": [\"a b\"]}", 1, "tags[0]" },
		{ "{" FIXED ", \"tags\": [7]}", 1, "tags[0]" },
		{ "{" FIXED ", \"automatic_start\": true}", 1, "automatic_start" },
		{ "{" FIXED ", \"automatic_start\": {\"action\": \"stop\"}}", 1,
		  "automatic_start.action" },
		{ "{" FIXED ", \"automatic_start\": {\"delay\": 3601}}", 1,
		  "automatic_start.delay" },
		{ "{" FIXED ", \"automatic_start\": {\"order\": 10000}}", 1,
		  "automatic_start.order" },
		{ "{" FIXED ", \"automatic_stop\": {\"action\": \"pause\"}}", 1,
		  "automatic_stop.action" },
		{ "{" FIXED ", \"automatic_stop\": {\"timeout\": 0}}", 1,
		  "automatic_stop.timeout" },
		{ "{" FIXED ", \"resources\": []}", 1, "resources" },
		{ "{" FIXED ", \"resources\": {\"cpu_weight\": 0}}", 1, "resources.cpu_weight" },
		{ "{" FIXED ", \"resources\": {\"cpu_weight\": 10001}}", 1,
		  "resources.cpu_weight" },
		{ "{" FIXED ", \"resources\": {\"memory_max\": \"15M\"}}", 1,
		  "resources.memory_max" },
		{ "{" FIXED ", \"resources\": {\"tasks_max\": 127}}", 1, "resources.tasks_max" },
		{ "{" FIXED ", \"actions\": {\"worker_failure\": \"keep\"}}", 1,
		  "actions.worker_failure" },
		{ "{\"name\": \"a\", \"boot\": {\"kernel\": \"k\"}}", 1, "boot.kernel" },
		{ "{\"name\": \"a\", \"boot\": {\"kernel\": \"/k\\n\"}}", 1, "boot.kernel" },
		{ "{\"name\": \"a\", \"boot\": {\"kernel\": \"/k\", \"initrd\": \"\"}}", 1,
		  "boot.initrd" },
		{ "{\"name\": \"a\", \"boot\": {\"kernel\": \"/k\", \"command_line\": \"a\\nb\"}}",
		  1, "boot.command_line" },
		{ "{" FIXED ", \"memory\": {\"size\": \"3M\"}}", 1, "memory.size" },
		{ "{" FIXED ", \"memory\": {\n\"size\": 536870913}}", 2, "memory.size" },
		{ "{" FIXED ", \"memory\": {\"size\": \"9T\"}}", 1, "memory.size" },
		{ "{" FIXED ", \"memory\": {\"pages\": \"big\"}}", 1, "memory.pages" },
		{ "{" FIXED ", \"memory\": {\"shared\": \"yes\"}}", 1, "memory.shared" },
		{ "{" FIXED ", \"memory\": {\"dynamic\": true}}", 1, "memory.dynamic" },
		{ "{" FIXED ", \"memory\": {\"dynamic\": {\n\"minimum\": \"1G\"}}}", 2,
		  "memory.dynamic.minimum" },
		{ "{" FIXED ", \"memory\": {\"dynamic\": {\"minimum\": \"33M\"}}}", 1,
		  "memory.dynamic.minimum" },
		{ "{" FIXED ", \"memory\": {\"dynamic\": {\"maximum\": \"256M\"}}}", 1,
		  "memory.dynamic.maximum" },
		{ "{" FIXED ", \"memory\": {\"dynamic\": {\"maximum\": \"1025M\"}}}", 1,
		  "memory.dynamic.maximum" },
		{ "{" FIXED ", \"memory\": {\"dynamic\": {\"buffer\": 2001}}}", 1,
		  "memory.dynamic.buffer" },
		{ "{" FIXED ", \"memory\": {\"dynamic\": {\"weight\": 1}}}", 1,
		  "memory.dynamic.weight" },
		{ "{" FIXED ", \"memory\": {\"pages\": \"hugetlb\", \"dynamic\": {}}}", 1,
		  "memory.pages" },
		{ "{" FIXED ", \"engine\": \"fast\"}", 1, "engine" },
		{ "{" FIXED ", \"checkpoints\": \"automatic\"}", 1, "checkpoints" },
		{ "{" FIXED ", \"disks\": {}}", 1, "disks" },
		{ "{" FIXED ", \"disks\": [1]}", 1, "disks[0]" },
		{ "{" FIXED ", \"disks\": [\n{}]}", 2, "disks[0].path" },
		{ "{" FIXED ", \"disks\": [" DISK_A ",\n" DISK_A "]}", 2, "disks[1]" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"lun\": 64}]}", 1, "disks[0].lun" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"controller\": 4}]}", 1,
		  "disks[0].controller" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\",\n\"sector_size\": 1024}]}", 2,
		  "disks[0].sector_size" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"sector_size\": 2048}]}", 1,
		  "disks[0].sector_size" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"a\"}]}", 1, "disks[0].path" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"format\": \"qcow\"}]}", 1,
		  "disks[0].format" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"serial\": \"a b\"}]}", 1,
		  "disks[0].serial" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"serial\": \"\"}]}", 1,
		  "disks[0].serial" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"cache\": \"none\"}]}", 1,
		  "disks[0].cache" },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"type\": \"floppy\"}]}", 1,
		  "disks[0].type" },
		{ "{" FIXED ", \"disks\": [{\"type\": \"dvd\",\n\"read_only\": false}]}", 2,
		  "disks[0].read_only" },
		{ "{" FIXED ", \"disks\": [{\"type\": \"dvd\", \"sector_size\": 512}]}", 1,
		  "disks[0].sector_size" },
		{ "{" FIXED ", \"hyper_v\": true}", 1, "hyper_v" },
		{ "{" FIXED ", \"hyper_v\": {\"synthetic_timers\": 1}}", 1,
		  "hyper_v.synthetic_timers" },
		{ "{" FIXED ", \"hyper_v\": {\"timers\": true}}", 1, "hyper_v.timers" },
		{ "{" FIXED ", \"services\": {\"shutdown\": 1}}", 1, "services.shutdown" },
		{ "{" FIXED ", \"services\": {\"clock\": true}}", 1, "services.clock" },
		{ "{" FIXED ", \"actions\": {\"crash\": \"panic\"}}", 1, "actions.crash" },
		{ "{" FIXED ", \"actions\": {\"crash_grace\": 3601}}", 1, "actions.crash_grace" },
		{ "{" FIXED ", \"actions\": {\"crash_grace\": -1}}", 1, "actions.crash_grace" },
		{ "{" FIXED ", \"actions\": {\"reboot\": null}}", 1, "actions.reboot" },
		{ "{" FIXED ", \"processors\": {\"count\": 1.5}}", 1, "processors.count" },
		{ "{" FIXED ", \"processors\": [2]}", 1, "processors" },
		{ "{" FIXED ", \"processors\": {\n\"count\": 7, \"sockets\": 2}}", 2,
		  "processors.count" },
		{ "{" FIXED ", \"processors\": {\n\"count\": 2, \"cores\": 3}}", 2,
		  "processors.count" },
		{ "{" FIXED ", \"processors\": {\n\"model\": \"486\"}}", 2, "processors.model" },
		{ "{" FIXED ", \"processors\": {\n\"without\": \"avx\"}}", 2,
		  "processors.without" },
		{ "{" FIXED ", \"processors\": {\"without\": [\"avx\",\n\"avx\"]}}", 2,
		  "processors.without[1]" },
		{ "{" FIXED ", \"processors\": {\"without\": [\n\"lm\"]}}", 2,
		  "processors.without[0]" },
		{ "{" FIXED ", \"processors\": {\"without\": [\n7]}}", 2, "processors.without[0]" },
		{ "{" FIXED ", \"processors\": {\"sockets\": 16,\n\"cores\": 16}}", 1,
		  "processors" },
		{ "{" FIXED ", \"processors\": {\"count\": 65}, \"resources\": {\n"
		  "\"tasks_max\": 128}}",
		  2, "resources.tasks_max" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(definition_freep) struct definition *definition = parse(cases[i].text);

		if (definition)
			fail_msg("accepted: %s", cases[i].text);
		if (last.line != cases[i].line || strcmp(last.key, cases[i].key) != 0 ||
		    last.message[0] == '\0')
			fail_msg("%s: line %d, key '%s': %s", cases[i].text, last.line, last.key,
				 last.message);
	}
}

static void test_versions(void **state)
{
	CLEANUP(definition_freep) struct definition *old = NULL;
	CLEANUP(definition_freep) struct definition *newer = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	struct json_object *version;

	old = parse("{\"version\": 1, " FIXED ", \"notes\": \"kept\"}");
	assert_non_null(old);
	assert_string_equal(old->notes, "kept");
	tree = definition_to_json(old);
	assert_true(json_object_object_get_ex(tree, "version", &version));
	assert_int_equal(json_object_get_int(version), DEFINITION_VERSION);
	/* It is the version that is wrong with it, not what comes with that. */
	newer = parse("{\"colour\": 1, \"version\": 3, " FIXED "}");
	assert_null(newer);
	assert_string_equal(last.key, "version");
	assert_non_null(strstr(last.message, "of a newer vmms"));
}

static void test_a_count_alone_can_be_changed(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = parse(full_text);
	AUTO_JSON struct json_object *tree = definition_to_json(definition);
	CLEANUP(definition_freep) struct definition *again = NULL;
	struct json_object *processors;
	struct json_error error;

	assert_true(json_object_object_get_ex(tree, "processors", &processors));
	json_object_object_add(processors, "count", json_object_new_int(16));
	assert_int_equal(definition_from_json(tree, &again, &error), 0);
	assert_int_equal(again->processors.cores, 4);
}

static void test_features(void **state)
{
	CLEANUP(definition_freep)
	struct definition *definition =
		parse("{" FIXED ", \"processors\": {\"model\": \"baseline\", \"without\": "
		      "[\"avx2\", \"pni\"]}}");
	CLEANUP(definition_freep) struct definition *copy = NULL;
	AUTO_JSON struct json_object *names = NULL;

	assert_non_null(definition);
	assert_int_equal(definition_copy(definition, &copy), 0);
	assert_int_equal(copy->processors.model, DEFINITION_MODEL_BASELINE);
	names = definition_features_to_json(&copy->processors.without);
	assert_string_equal(json_object_to_json_string_ext(names, JSON_C_TO_STRING_PLAIN),
			    "[\"pni\",\"avx2\"]");
	/* What was meant is told. */
	assert_null(parse("{" FIXED ", \"processors\": {\"without\": [\"axv2\"]}}"));
	assert_non_null(strstr(last.message, "; there is "));
	assert_non_null(strstr(last.message, "avx2"));
	assert_null(parse("{" FIXED ", \"processors\": {\"without\": [\"quite_another\"]}}"));
	assert_null(strstr(last.message, "; there is "));
}

static void test_bounds_of_lengths(void **state)
{
	static const struct {
		const char *format;
		size_t most;
	} cases[] = {
		{ "{\"boot\": {\"kernel\": \"/k\"}, \"name\": \"%s\"}", DEFINITION_NAME_MAX },
		{ "{" FIXED ", \"notes\": \"%s\"}", DEFINITION_NOTES_MAX },
		{ "{" FIXED ", \"tags\": [\"%s\"]}", DEFINITION_TAG_MAX },
		{ "{\"name\": \"a\", \"boot\": {\"kernel\": \"/k\", \"command_line\": \"%s\"}}",
		  DEFINITION_COMMAND_LINE_MAX },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/a\", \"serial\": \"%s\"}]}",
		  DEFINITION_SERIAL_MAX },
		{ "{" FIXED ", \"disks\": [{\"path\": \"/%s\"}]}", 4094 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t excess = 0; excess < 2; excess++) {
			CLEANUP(definition_freep) struct definition *definition = NULL;
			char value[8192], text[8192 + 256];
			size_t used = 0;

			memset(value, 'x', cases[i].most + excess);
			value[cases[i].most + excess] = '\0';
			for (const char *at = cases[i].format; *at; at++) {
				if (at[0] == '%' && at[1] == 's') {
					used += (size_t)sprintf(text + used, "%s", value);
					at++;
				} else {
					text[used++] = *at;
				}
			}
			text[used] = '\0';
			definition = parse(text);
			if ((definition != NULL) != (excess == 0))
				fail_msg("case %zu, excess %zu: %s", i, excess, last.message);
		}
	}
}

static void test_all_disks(void **state)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	CLEANUP(definition_freep) struct definition *again = NULL;
	AUTO_JSON struct json_object *tree = NULL;

	definition = parse("{" FIXED "}");
	assert_non_null(definition);
	for (unsigned i = 0; i < DEFINITION_DISKS_MAX; i++) {
		struct definition_disk disk = { .controller = i / DEFINITION_LUNS_MAX,
						.lun = i % DEFINITION_LUNS_MAX,
						.path = strdup("/x"),
						.format = strdup("raw"),
						.sector_size = 512 };

		assert_int_equal(definition_add_disk(definition, &disk), 0);
		assert_null(disk.path);
	}
	tree = definition_to_json(definition);
	again = parse(json_object_to_json_string(tree));
	assert_non_null(again);
	assert_int_equal(again->disk_count, DEFINITION_DISKS_MAX);
}

static void test_add_find_remove_disk(void **state)
{
	CLEANUP(definition_freep)
	struct definition *definition =
		parse("{" FIXED ", \"disks\": [" DISK_A ", {\"path\": \"/b\", \"lun\": 5}]}");
	struct definition_disk twin = { .lun = 5, .path = strdup("/c") };

	assert_non_null(definition);
	assert_int_equal(definition_add_disk(definition, &twin), -EEXIST);
	assert_non_null(twin.path);
	definition_disk_deinit(&twin);
	assert_null(definition_find_disk(definition, 1, 5));
	definition_remove_disk(definition, definition_find_disk(definition, 0, 0));
	assert_int_equal(definition->disk_count, 1);
	assert_string_equal(definition_find_disk(definition, 0, 5)->path, "/b");
	assert_null(definition_find_disk(definition, 0, 0));
}

static void test_disk_alone(void **state)
{
	struct json_object *object = json_make("lun", json_object_new_int(3), NULL);
	struct definition_disk disk;

	assert_int_equal(definition_disk_from_json(object, &disk, &last), -EINVAL);
	assert_string_equal(last.key, "path");
	assert_int_equal(last.line, 0);
	json_add(&object, "path", json_object_new_string("/x"));
	assert_int_equal(definition_disk_from_json(object, &disk, &last), 0);
	assert_int_equal(disk.lun, 3);
	definition_disk_deinit(&disk);
	json_object_put(object);
}

static void test_load(void **state)
{
	char path[] = "/tmp/vmms-definition-XXXXXX";
	int fd = mkstemp(path);
	CLEANUP(definition_freep) struct definition *definition = NULL;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, full_text, strlen(full_text)), strlen(full_text));
	assert_int_equal(definition_load(path, &definition, &last), 0);
	assert_full(definition);
	assert_int_equal(ftruncate(fd, DEFINITION_SIZE_MAX + 1), 0);
	close(fd);
	definition_free(TAKE_PTR(definition));
	assert_int_equal(definition_load(path, &definition, &last), -EINVAL);
	assert_string_equal(last.message, "the definition is larger than 1M");
	unlink(path);
	assert_int_equal(definition_load(path, &definition, &last), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(definition_load(path, &definition, &last), -EINVAL);
	unlink(path);
	assert_int_equal(definition_load("/tmp", &definition, &last), -EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_written_is_read_back),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_dynamic_memory),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_a_count_alone_can_be_changed),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_bounds_of_lengths),
		cmocka_unit_test(test_all_disks),
		cmocka_unit_test(test_add_find_remove_disk),
		cmocka_unit_test(test_disk_alone),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
