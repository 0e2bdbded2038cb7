/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that are put aside until something is known about them. */
#include "vmms/bus/dbus_question.h"

#include "vmms/bus/dbus_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void dbus_answers_deinit(struct dbus_answers *answers)
{
	free(answers->owner);
	*answers = (struct dbus_answers){ 0 };
}

void dbus_question_free(struct dbus_question *question)
{
	list_unlink(&question->link);
	list_unlink(&question->waiter.link);
	if (question->slot && question->polkit.interactive && !question->answers.polkit_answered)
		polkit_cancel(question->service->bus, &question->polkit);
	sd_bus_slot_unref(question->slot);
	sd_bus_track_unref(question->caller);
	sd_bus_message_unref(question->call);
	dbus_answers_deinit(&question->answers);
	free(question);
}

struct dbus_answers dbus_question_take(const struct list *questions, const sd_bus_message *call)
{
	struct dbus_answers answers = { 0 };

	list_for_each (link, (struct list *)questions) {
		struct dbus_question *question = container_of(link, struct dbus_question, link);

		if (question->call != call)
			continue;
		answers = question->answers;
		question->answers.owner = NULL;
		dbus_question_free(question);
		break;
	}
	return answers;
}

static void dbus_question_read_again(struct dbus_question *question)
{
	int r;

	r = sd_bus_message_rewind(question->call, true);
	if (r >= 0)
		r = sd_bus_enqueue_for_read(sd_bus_message_get_bus(question->call), question->call);
	if (r < 0) {
		(void)sd_bus_reply_method_errno(question->call, r, NULL);
		dbus_question_free(question);
	}
}

/* ---- Putting aside ---- */

struct load {
	unsigned count;
	size_t size;
};

static void dbus_question_load_add(struct load *load, const struct dbus_question *question)
{
	load->count++;
	load->size += question->size;
}

/* Whether a call of that size may wait, too. */
static bool dbus_question_has_room(const struct list *questions, uid_t uid, size_t size)
{
	struct load own = { 1, size }, all = { 1, size };

	list_for_each (link, (struct list *)questions) {
		const struct dbus_question *question =
			container_of(link, struct dbus_question, link);

		if (question->uid != 0)
			dbus_question_load_add(&all, question);
		if (question->uid == uid)
			dbus_question_load_add(&own, question);
	}
	return own.count <= DBUS_QUESTIONS_MAX && own.size <= DBUS_QUESTIONS_BYTES_MAX &&
	       all.count <= DBUS_QUESTIONS_ALL && all.size <= DBUS_QUESTIONS_BYTES_ALL;
}

static int dbus_question_caller_gone(sd_bus_track *track, void *data)
{
	dbus_question_free(data);
	return 0;
}

/* Return: 0; -errno: the caller has gone already, and others. */
static int dbus_question_watch_caller(struct dbus_question *question)
{
	int r;

	r = sd_bus_track_new(question->service->bus, &question->caller, dbus_question_caller_gone,
			     question);
	return r < 0 ? r
		     : sd_bus_track_add_name(question->caller,
					     sd_bus_message_get_sender(question->call));
}

static int question_new(struct dbus_service *service, sd_bus_message *call, uid_t uid,
			struct dbus_question **ret_question)
{
	size_t size = service->access.call_size;
	struct dbus_question *question;
	int r;

	/* Whoever may everything is not bounded, as elsewhere. */
	if (uid != 0 && !dbus_question_has_room(&service->access.questions, uid, size))
		return -EBUSY;
	question = calloc(1, sizeof(*question));
	if (!question)
		return -ENOMEM;
	question->service = service;
	question->call = sd_bus_message_ref(call);
	question->uid = uid;
	question->size = size;
	list_init(&question->waiter.link);
	list_append(&service->access.questions, &question->link);
	r = dbus_question_watch_caller(question);
	if (r < 0) {
		dbus_question_free(question);
		return r;
	}
	*ret_question = question;
	return 0;
}

/* ---- Users ---- */

static int dbus_question_ask_for_user(struct dbus_question *question, const struct user_key *key,
				      void (*answered)(void *data, int result,
						       const struct user_found *found))
{
	int r;

	question->waiter.answered = answered;
	question->waiter.data = question;
	r = user_lookups_ask(question->service->access.lookups, key, &question->waiter);
	if (r < 0)
		dbus_question_free(question);
	return r;
}

static void dbus_question_caller_answered(void *data, int result, const struct user_found *found)
{
	struct dbus_question *question = data;

	question->answers.has_user = true;
	question->answers.user_result = result;
	if (found)
		question->answers.user = *found;
	dbus_question_read_again(question);
}

int dbus_question_ask_caller(struct dbus_service *service, sd_bus_message *call, uid_t uid)
{
	const struct user_key key = { .uid = uid };
	struct dbus_question *question;
	int r;

	r = question_new(service, call, uid, &question);
	return r < 0 ? r
		     : dbus_question_ask_for_user(question, &key, dbus_question_caller_answered);
}

static void dbus_question_owner_answered(void *data, int result, const struct user_found *found)
{
	struct dbus_question *question = data;

	question->answers.owner_result = result;
	question->answers.owner_uid = found ? found->uid : 0;
	dbus_question_read_again(question);
}

int dbus_question_ask_owner(struct dbus_service *service, sd_bus_message *call, const char *owner)
{
	const struct user_key key = { .name = owner };
	struct dbus_question *question;
	int r;

	r = question_new(service, call, 0, &question);
	if (r < 0)
		return r;
	question->answers.owner = strdup(owner);
	if (!question->answers.owner) {
		dbus_question_free(question);
		return -ENOMEM;
	}
	return dbus_question_ask_for_user(question, &key, dbus_question_owner_answered);
}

/* ---- polkit ---- */

static void dbus_question_polkit_answered(void *data, enum polkit_answer answer)
{
	struct dbus_question *question = data;

	question->answers.polkit = answer;
	question->answers.polkit_answered = true;
	dbus_question_read_again(question);
}

int dbus_question_ask_polkit(struct dbus_service *service, sd_bus_message *call, const char *action,
			     const struct vm *vm, bool interactive)
{
	struct dbus_question *question;
	int r;

	r = question_new(service, call, service->access.user->uid, &question);
	if (r < 0)
		return r;
	question->answers.has_user = true;
	question->answers.user = *service->access.user;
	question->answers.action = action;
	if (vm)
		question->answers.vm = vm->definition->uuid;
	question->polkit =
		(struct polkit_question){ .sender = sd_bus_message_get_sender(call),
					  .action = action,
					  .vm = vm ? vm->definition->name : NULL,
					  .interactive = interactive,
					  .timeout = service->settings.authentication_timeout,
					  .answered = dbus_question_polkit_answered,
					  .data = question };
	r = polkit_ask(service->bus, &question->polkit, &question->slot);
	if (r < 0)
		dbus_question_free(question);
	return r;
}
