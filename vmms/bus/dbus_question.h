/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that are put aside until something is known about them: what polkit says, or the user
 * database.
 *
 * A call whose caller leaves the bus is forgotten. How many wait, and how much memory they take, is
 * bounded for each user, but for root, and for all users together.
 *
 * When there is an answer the call is read again from the beginning, with what was learnt
 * (dbus_question_take()): all else is looked at anew then.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/base/list.h"
#include "vmms/base/user_lookup.h"
#include "vmms/bus/polkit.h"

#include <stdbool.h>
#include <systemd/sd-bus.h>

/* How many calls wait, and how much memory they may take: of one user, and of all. */
#define DBUS_QUESTIONS_MAX       16
#define DBUS_QUESTIONS_ALL       128
#define DBUS_QUESTIONS_BYTES_MAX (4u << 20)
#define DBUS_QUESTIONS_BYTES_ALL (32u << 20)

struct dbus_service;
struct vm;

/* What was learnt about a call. */
struct dbus_answers {
	bool has_user; /* the caller was looked up */
	int user_result;
	struct user_found user;

	const char *action; /* that polkit was asked about; NULL: it was not */
	struct guid vm;     /* which it was about; null: none */
	enum polkit_answer polkit;
	bool polkit_answered;

	char *owner; /* who was looked up; NULL: nobody */
	int owner_result;
	uid_t owner_uid;
};

void dbus_answers_deinit(struct dbus_answers *answers);

/* A call that waits for an answer. */
struct dbus_question {
	struct list link;
	struct dbus_service *service;
	sd_bus_message *call;
	sd_bus_track *caller; /* on the bus */
	uid_t uid;
	size_t size; /* bytes, of the call */
	struct dbus_answers answers;
	struct polkit_question polkit;
	sd_bus_slot *slot; /* of polkit's answer */
	struct user_waiter waiter;
};

void dbus_question_free(struct dbus_question *question);

/* What is known of a call, which is over then for those who asked. */
struct dbus_answers dbus_question_take(const struct list *questions, const sd_bus_message *call);

/*
 * Puts the call aside. uid: who calls. Return: 0; -EBUSY: the caller's calls that wait are too many
 * or too large, or those of all callers, or too many users are being looked up; -errno.
 */
int dbus_question_ask_caller(struct dbus_service *service, sd_bus_message *call,
			     uid_t uid) MUST_CHECK;

/* The same, about whoever is to own a VM. */
int dbus_question_ask_owner(struct dbus_service *service, sd_bus_message *call,
			    const char *owner) MUST_CHECK;

/* The same, of polkit. The caller is known. vm: which it is about; NULL: none. */
int dbus_question_ask_polkit(struct dbus_service *service, sd_bus_message *call, const char *action,
			     const struct vm *vm, bool interactive) MUST_CHECK;
