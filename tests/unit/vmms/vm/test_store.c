/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions on disk: replaced as a whole or not at all, broken ones reported, one owner. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vm/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct fixture {
	char folder[32];
	struct store *store;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	strcpy(fixture->folder, "/tmp/vmms-store-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	assert_int_equal(store_open(fixture->folder, &fixture->store), 0);
	*state = fixture;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	store_free(fixture->store);
	nftw(fixture->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

static struct definition *define(const char *name, const char *notes)
{
	struct definition *definition = NULL;
	struct json_error error;
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"name\": \"%s\", \"uuid\": \"f8615163-df3e-46c5-913f-f2d2f965ed0e\", "
		 "\"notes\": \"%s\", \"boot\": {\"kernel\": \"/k\"}}",
		 name, notes);
	assert_int_equal(definition_parse(text, strlen(text), &definition, &error), 0);
	return definition;
}

static void write_file(struct fixture *fixture, const char *file, const char *text)
{
	char path[128];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/vms/%s", fixture->folder, file);
	stream = fopen(path, "w");
	assert_non_null(stream);
	fputs(text, stream);
	assert_int_equal(fclose(stream), 0);
}

/* What store_load() finds: "name: notes" or "name: line key" for each file. */
struct found {
	char text[512];
	int answer; /* of the callback */
};

static int collect(void *data, struct store_entry *entry)
{
	struct found *found = data;
	size_t used = strlen(found->text);

	if (entry->definition)
		snprintf(found->text + used, sizeof(found->text) - used, "%s: %s\n", entry->name,
			 entry->definition->notes);
	else
		snprintf(found->text + used, sizeof(found->text) - used, "%s: %d %s\n", entry->name,
			 entry->error.line, entry->error.key);
	definition_free(entry->definition);
	return found->answer;
}

static void assert_found(struct fixture *fixture, const char *expected)
{
	struct found found = { .text = "" };

	assert_int_equal(store_load(fixture->store, collect, &found), 0);
	assert_string_equal(found.text, expected);
}

static void test_save_and_load(void **state)
{
	struct fixture *fixture = *state;
	CLEANUP(definition_freep) struct definition *a = define("a", "first");
	CLEANUP(definition_freep) struct definition *b = define("b", "second");

	assert_found(fixture, "");
	assert_int_equal(store_save(fixture->store, b), 0);
	assert_int_equal(store_save(fixture->store, a), 0);
	assert_found(fixture, "a: first\nb: second\n");
	assert_int_equal(store_delete(fixture->store, "a"), 0);
	assert_int_equal(store_delete(fixture->store, "a"), -ENOENT);
	assert_found(fixture, "b: second\n");
}

static void test_staged_is_not_seen(void **state)
{
	struct fixture *fixture = *state;
	CLEANUP(definition_freep) struct definition *old = define("a", "old");
	CLEANUP(definition_freep) struct definition *new = define("a", "new");
	CLEANUP(definition_freep) struct definition *other = define("b", "other");

	assert_int_equal(store_save(fixture->store, old), 0);
	assert_int_equal(store_stage(fixture->store, new), 0);
	assert_int_equal(store_stage(fixture->store, other), 0);
	assert_found(fixture, "a: old\n");
	store_discard(fixture->store, "b");
	assert_int_equal(store_commit(fixture->store, "b"), -ENOENT);
	assert_int_equal(store_commit(fixture->store, "a"), 0);
	assert_found(fixture, "a: new\n");
}

static void test_broken_ones_are_reported(void **state)
{
	struct fixture *fixture = *state;
	CLEANUP(definition_freep) struct definition *good = define("good", "fine");

	assert_int_equal(store_save(fixture->store, good), 0);
	write_file(fixture, "bad.json", "{\n\n\"name\": 7}");
	write_file(fixture, "empty.json", "");
	write_file(fixture, "other.json",
		   "{\"name\": \"x\", \"uuid\": \"f8615163-df3e-46c5-913f-f2d2f965ed0e\", "
		   "\"boot\": {\"kernel\": \"/k\"}}");
	write_file(fixture, "zero.json", "{\"name\": \"zero\", \"boot\": {\"kernel\": \"/k\"}}");
	write_file(fixture, "ignored.txt", "x");
	write_file(fixture, ".hidden.json", "x");
	write_file(fixture, ".json", "x");
	assert_found(fixture, "bad: 3 name\nempty: 1 \ngood: fine\nother: 0 name\nzero: 0 uuid\n");
}

static void test_a_callback_ends_the_loading(void **state)
{
	struct fixture *fixture = *state;
	struct found found = { .answer = -ECANCELED };

	write_file(fixture, "a.json", "");
	write_file(fixture, "b.json", "");
	assert_int_equal(store_load(fixture->store, collect, &found), -ECANCELED);
	assert_string_equal(found.text, "a: 1 \n");
}

static void test_one_owner(void **state)
{
	struct fixture *fixture = *state;
	struct store *second = NULL;

	assert_int_equal(store_open(fixture->folder, &second), -EBUSY);
	assert_null(second);
	store_free(TAKE_PTR(fixture->store));
	assert_int_equal(store_open(fixture->folder, &fixture->store), 0);
}

static void test_leftovers_are_removed(void **state)
{
	struct fixture *fixture = *state;
	CLEANUP(definition_freep) struct definition *a = define("a", "kept");
	char path[128];

	assert_int_equal(store_save(fixture->store, a), 0);
	assert_int_equal(store_stage(fixture->store, a), 0);
	store_free(TAKE_PTR(fixture->store));
	snprintf(path, sizeof(path), "%s/vms/.a.staged", fixture->folder);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(store_open(fixture->folder, &fixture->store), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_found(fixture, "a: kept\n");
}

static void test_which_file_it_is(void **state)
{
	struct fixture *fixture = *state;
	CLEANUP(definition_freep) struct definition *a = define("a", "x");
	struct folder_stamp stamp = store_stamp(fixture->store, "a");

	assert_true(store_is_same(fixture->store, "a", &stamp));
	assert_int_equal(store_save(fixture->store, a), 0);
	assert_false(store_is_same(fixture->store, "a", &stamp));
	stamp = store_stamp(fixture->store, "a");
	assert_true(store_is_same(fixture->store, "a", &stamp));
	/* What is staged is not the file yet. */
	assert_int_equal(store_stage(fixture->store, a), 0);
	assert_true(store_is_same(fixture->store, "a", &stamp));
	assert_int_equal(store_commit(fixture->store, "a"), 0);
	assert_false(store_is_same(fixture->store, "a", &stamp));
	stamp = store_stamp(fixture->store, "a");
	write_file(fixture, "a.json", "{}");
	assert_false(store_is_same(fixture->store, "a", &stamp));
	/* Nothing is lost where there is nothing. */
	assert_int_equal(store_delete(fixture->store, "a"), 0);
	assert_true(store_is_same(fixture->store, "a", &stamp));
}

/* A link in place of the staged file must not make us write elsewhere. */
static void test_links_are_not_followed(void **state)
{
	struct fixture *fixture = *state;
	CLEANUP(definition_freep) struct definition *a = define("a", "x");
	char path[128], target[128];

	snprintf(path, sizeof(path), "%s/vms/.a.staged", fixture->folder);
	snprintf(target, sizeof(target), "%s/target", fixture->folder);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(store_save(fixture->store, a), -ELOOP);
	assert_int_equal(access(target, F_OK), -1);
}

static void test_folder_cannot_be_made(void **state)
{
	struct store *store = NULL;
	char path[5000];

	assert_int_equal(store_open("/proc/nowhere", &store), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(store_open(path, &store), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_save_and_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_staged_is_not_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_ones_are_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_callback_ends_the_loading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leftovers_are_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_which_file_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_are_not_followed, setup, teardown),
		cmocka_unit_test(test_folder_cannot_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
