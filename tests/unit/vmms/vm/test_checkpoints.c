/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tree of a VM's checkpoints: what is hidden, what goes, and what is taken back from JSON. */
#include "tests/unit/unit.h"
#include "vmms/vm/checkpoints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A VM with one disk, at that path. */
static struct definition *make_definition(const char *path)
{
	char text[256];
	struct definition *definition = NULL;
	struct json_error error;

	snprintf(
		text, sizeof(text),
		"{\"name\": \"vm\", \"boot\": {\"kernel\": \"/k\"}, \"disks\": [{\"path\": \"%s\", "
		"\"format\": \"vhdx\"}]}",
		path);
	assert_int_equal(definition_parse(text, strlen(text), &definition, &error), 0);
	return definition;
}

static void add(struct checkpoints *tree, const char *path, bool ours)
{
	CLEANUP(definition_freep) struct definition *definition = make_definition(path);

	if (ours)
		assert_int_equal(checkpoint_paths_add(&tree->files, path), 0);
	assert_int_equal(checkpoints_add(tree, "name", "notes", 5, definition), 0);
}

static void move_to(struct checkpoints *tree, unsigned id, const char *before)
{
	CLEANUP(definition_freep) struct definition *definition = make_definition(before);

	assert_int_equal(checkpoint_paths_add(&tree->files, before), 0);
	assert_int_equal(checkpoints_move_to(tree, id, definition), 0);
}

/* 1 at /base, which is not ours, 2 and 3 on it; the VM is on 3. */
static struct checkpoints *make_tree(void)
{
	struct checkpoints *tree = NULL;

	assert_int_equal(checkpoints_new(&tree), 0);
	add(tree, "/base", false);
	add(tree, "/a", true);
	move_to(tree, 1, "/now1");
	add(tree, "/b", true);
	return tree;
}

static void test_what_was_is_not_needed(void **state)
{
	struct checkpoints *tree = make_tree();

	assert_int_equal(tree->current, 3);
	assert_int_equal(tree->items[2].parent, 1);
	assert_int_equal(checkpoints_depth(tree, 3), 2);
	assert_int_equal(tree->unneeded.count, 1);
	assert_string_equal(tree->unneeded.items[0], "/now1");
	assert_true(checkpoints_name_disk(tree, "/b"));
	assert_false(checkpoints_name_disk(tree, "/now1"));
	checkpoints_free(tree);
}

static void test_deleted_ones_stay_while_they_are_needed(void **state)
{
	struct checkpoints *tree = make_tree();

	/* A leaf goes, and its file. */
	assert_int_equal(checkpoints_delete(tree, 2, false), 0);
	assert_int_equal(tree->count, 2);
	assert_true(checkpoint_paths_have(&tree->unneeded, "/a"));
	/* Others stand on the first, and the VM on the third. */
	assert_int_equal(checkpoints_delete(tree, 1, false), 0);
	assert_int_equal(checkpoints_delete(tree, 3, false), 0);
	assert_int_equal(tree->count, 2);
	assert_int_equal(checkpoints_count(tree), 0);
	assert_null(checkpoints_find(tree, 1));
	assert_int_equal(checkpoints_visible_parent(tree, 3), 0);
	assert_false(checkpoint_paths_have(&tree->unneeded, "/b"));
	/* When nothing does any more, they go; what was not ours stays. */
	tree->current = 0;
	assert_int_equal(checkpoints_delete(tree, 3, false), 0);
	assert_int_equal(tree->count, 0);
	assert_true(checkpoint_paths_have(&tree->unneeded, "/b"));
	assert_false(checkpoint_paths_have(&tree->unneeded, "/base"));
	checkpoints_free(tree);
}

static void test_a_subtree(void **state)
{
	struct checkpoints *tree = make_tree();

	add(tree, "/c", true);
	move_to(tree, 2, "/now2");
	assert_int_equal(checkpoints_delete(tree, 3, true), 0);
	assert_int_equal(checkpoints_count(tree), 2);
	assert_int_equal(tree->count, 2);
	assert_true(checkpoint_paths_have(&tree->unneeded, "/b"));
	assert_true(checkpoint_paths_have(&tree->unneeded, "/c"));
	checkpoints_free(tree);
}

/* ---- What is merged ---- */

/* 1 to 3 at /base, /a and /b, one on the other, the VM at /c on the last. */
static struct checkpoints *make_chain(void)
{
	struct checkpoints *tree = NULL;

	assert_int_equal(checkpoints_new(&tree), 0);
	add(tree, "/base", false);
	add(tree, "/a", true);
	add(tree, "/b", true);
	assert_int_equal(checkpoint_paths_add(&tree->files, "/c"), 0);
	assert_int_equal(checkpoints_link(tree, "/a", "/base"), 0);
	assert_int_equal(checkpoints_link(tree, "/b", "/a"), 0);
	assert_int_equal(checkpoints_link(tree, "/c", "/b"), 0);
	return tree;
}

/* now: the path of the VM's disk. Return: the number of the checkpoint, 0: none. */
static unsigned find_merge(const struct checkpoints *tree, const char *now,
			   struct checkpoint_merge *merge)
{
	CLEANUP(definition_freep) struct definition *definition = make_definition(now);

	assert_int_equal(checkpoints_find_merge(tree, definition, NULL, merge), 0);
	return merge->id;
}

static void test_one_in_the_middle_is_merged(void **state)
{
	struct checkpoints *tree = make_chain();
	CLEANUP(definition_freep) struct definition *now = make_definition("/c");
	struct checkpoint_merge merge;

	assert_int_equal(find_merge(tree, "/c", &merge), 0);
	assert_int_equal(checkpoints_delete(tree, 2, false), 0);
	assert_int_equal(find_merge(tree, "/c", &merge), 2);
	assert_int_equal(merge.disk_count, 1);
	assert_string_equal(merge.disks[0].image, "/b");
	assert_string_equal(merge.disks[0].parent, "/a");
	assert_true(checkpoint_paths_have(&merge.disks[0].above, "/c"));
	assert_true(checkpoint_merge_copies(&merge));
	assert_int_equal(checkpoints_merged(tree, &merge, now), 0);
	checkpoint_merge_deinit(&merge);
	assert_int_equal(tree->count, 2);
	assert_int_equal(tree->items[1].parent, 1);
	assert_string_equal(tree->items[1].definition->disks[0].path, "/a");
	assert_int_equal(tree->unneeded.count, 1);
	assert_true(checkpoint_paths_have(&tree->unneeded, "/b"));
	checkpoints_forget_file(tree, "/b");
	assert_int_equal(tree->link_count, 2);
	assert_string_equal(tree->links[1].image, "/c");
	assert_string_equal(tree->links[1].parent, "/a");
	checkpoints_free(tree);
}

static void test_the_root_comes_first(void **state)
{
	struct checkpoints *tree = make_chain();
	CLEANUP(definition_freep) struct definition *now = make_definition("/c");
	struct checkpoint_merge merge;

	assert_int_equal(checkpoints_delete(tree, 3, false), 0);
	assert_int_equal(checkpoints_delete(tree, 1, false), 0);
	assert_int_equal(find_merge(tree, "/c", &merge), 1);
	assert_int_equal(checkpoints_merged(tree, &merge, now), 0);
	checkpoint_merge_deinit(&merge);
	assert_int_equal(find_merge(tree, "/c", &merge), 3);
	assert_string_equal(merge.disks[0].parent, "/b");
	assert_int_equal(merge.disks[0].above.count, 0);
	checkpoint_merge_deinit(&merge);
	checkpoints_free(tree);
}

/* The definition tells what has been done. */
static void test_the_vm_has_the_parent_already(void **state)
{
	struct checkpoints *tree = make_chain();
	CLEANUP(definition_freep) struct definition *now = make_definition("/b");
	struct checkpoint_merge merge;

	assert_int_equal(checkpoints_delete(tree, 3, false), 0);
	assert_int_equal(find_merge(tree, "/b", &merge), 3);
	assert_false(checkpoint_merge_copies(&merge));
	assert_int_equal(checkpoints_merged(tree, &merge, now), 0);
	checkpoint_merge_deinit(&merge);
	assert_int_equal(tree->current, 2);
	assert_false(checkpoint_paths_have(&tree->unneeded, "/b"));
	assert_true(checkpoint_paths_have(&tree->unneeded, "/c"));
	checkpoints_free(tree);
}

static void test_what_is_not_merged(void **state)
{
	struct checkpoints *tree = make_chain();
	struct checkpoint_merge merge;

	/* The disk on it was detached, and is somebody's. */
	assert_int_equal(checkpoints_delete(tree, 3, false), 0);
	assert_int_equal(find_merge(tree, "/other", &merge), 0);
	/* Two stand on it. */
	assert_int_equal(checkpoints_link(tree, "/d", "/b"), 0);
	assert_int_equal(find_merge(tree, "/c", &merge), 0);
	checkpoints_forget_file(tree, "/d");
	assert_int_equal(find_merge(tree, "/c", &merge), 3);
	checkpoint_merge_deinit(&merge);
	checkpoints_free(tree);
}

static void test_there_and_back(void **state)
{
	struct checkpoints *tree = make_tree(), *copy = NULL;
	AUTO_JSON struct json_object *before = checkpoints_to_json(tree), *after = NULL;

	assert_int_equal(checkpoints_link(tree, "/b", "/a"), 0);
	json_object_put(before);
	before = checkpoints_to_json(tree);
	assert_int_equal(checkpoints_copy(tree, &copy), 0);
	after = checkpoints_to_json(copy);
	assert_true(json_object_equal(before, after));
	checkpoints_free(copy);
	checkpoints_free(tree);
}

/* The text of make_tree() with one piece replaced by another, which is refused. */
static void check_refused(const char *piece, const char *other)
{
	struct checkpoints *tree = make_tree(), *read = NULL;
	AUTO_JSON struct json_object *object = checkpoints_to_json(tree), *changed = NULL;
	const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
	const char *place = strstr(text, piece);
	AUTO_FREE char *whole = NULL;
	struct json_error error;

	assert_non_null(place);
	assert_true(asprintf(&whole, "%.*s%s%s", (int)(place - text), text, other,
			     place + strlen(piece)) > 0);
	assert_int_equal(json_parse(whole, strlen(whole), &changed, &error), 0);
	assert_int_equal(checkpoints_from_json(changed, &read, &error), -EINVAL);
	assert_null(read);
	checkpoints_free(tree);
}

static void test_what_is_refused(void **state)
{
	check_refused("\"next\":4", "\"next\":3");
	check_refused("\"current\":3", "\"current\":4");
	check_refused("\"id\":2", "\"id\":1");
	check_refused("\"id\":2,\"parent\":1", "\"id\":2,\"parent\":2");
	check_refused("\"id\":2,\"parent\":1", "\"id\":2,\"parent\":3");
	check_refused("\"name\":\"name\"", "\"name\":\"\"");
	check_refused("\"hidden\":false,", "");
	check_refused("\"\\/a\"", "\"a\"");
	check_refused("\"type\":\"off\"", "\"type\":\"on\"");
	check_refused("\"states\":[]", "\"states\":[\"a\"]");
	check_refused("\"kernel\":\"\\/k\"", "\"kernel\":\"k\"");
}

static void test_names(void **state)
{
	assert_true(checkpoint_name_is_valid("before the upgrade"));
	assert_true(checkpoint_name_is_valid("2026-11-25 12:00:00"));
	assert_false(checkpoint_name_is_valid(""));
	assert_false(checkpoint_name_is_valid("12"));
	assert_false(checkpoint_name_is_valid("a\nb"));
	assert_false(checkpoint_name_is_valid("a\x7f"));
	assert_false(checkpoint_name_is_valid("\xff"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_is_not_needed),
		cmocka_unit_test(test_deleted_ones_stay_while_they_are_needed),
		cmocka_unit_test(test_a_subtree),
		cmocka_unit_test(test_one_in_the_middle_is_merged),
		cmocka_unit_test(test_the_root_comes_first),
		cmocka_unit_test(test_the_vm_has_the_parent_already),
		cmocka_unit_test(test_what_is_not_merged),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
