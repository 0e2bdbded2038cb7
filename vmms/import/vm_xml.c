/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading configuration files of Windows Server 2008 to 2012 R2, XML, into the tree that a .vmcx is.
 *
 * An element with an attribute "type" is a leaf, every other one a node; the root element is called
 * "configuration". libexpat does the parsing, UTF-16 included; it makes nothing of a document type.
 */
#include "vmms/import/import_readers.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct vm_xml {
	XML_Parser parser;
	struct import_error *error;
	struct json_object *root;
	struct json_object
		*nodes[IMPORT_DEPTH_MAX]; /* that are open, from the root down; borrowed */
	unsigned depth, entries;
	bool leaf; /* one is open, below these */
	char type[16];
	char *text; /* of the leaf: IMPORT_TEXT_MAX bytes */
	size_t text_size;
	int result;
};

/* The parser ends when its handler returns. */
static void vm_xml_stop(struct vm_xml *xml, int result)
{
	if (xml->result == 0)
		xml->result = result;
	XML_StopParser(xml->parser, XML_FALSE);
}

static const char *vm_xml_attribute(const char **attributes, const char *name)
{
	for (; attributes[0]; attributes += 2)
		if (strcmp(attributes[0], name) == 0)
			return attributes[1];
	return NULL;
}

static void vm_xml_add(struct vm_xml *xml, const char *name, struct json_object *value)
{
	struct json_object *parent = xml->depth ? xml->nodes[xml->depth - 1] : xml->root;

	if (!value) {
		vm_xml_stop(xml, -ENOMEM);
	} else if (json_object_object_get_ex(parent, name, NULL)) {
		json_object_put(value);
		vm_xml_stop(xml, import_refuse(xml->error, "a key is there twice"));
	} else {
		json_object_object_add(parent, name, value);
	}
}

static void vm_xml_begin_node(struct vm_xml *xml, const char *name)
{
	struct json_object *node = json_object_new_object();

	if (xml->depth == IMPORT_DEPTH_MAX) {
		json_object_put(node);
		vm_xml_stop(xml, import_refuse(xml->error, "its keys are nested deeper than %u",
					       IMPORT_DEPTH_MAX));
		return;
	}
	vm_xml_add(xml, name, node);
	if (xml->result == 0)
		xml->nodes[xml->depth++] = node;
}

static void vm_xml_begin(void *data, const char *name, const char **attributes)
{
	struct vm_xml *xml = data;
	const char *type = vm_xml_attribute(attributes, "type");

	if (xml->leaf)
		vm_xml_stop(xml, import_refuse(xml->error, "a value has keys of its own"));
	else if (++xml->entries > IMPORT_ENTRIES_MAX)
		vm_xml_stop(xml,
			    import_refuse(xml->error, "it has over %u keys", IMPORT_ENTRIES_MAX));
	else if (!type)
		vm_xml_begin_node(xml, name);
	else {
		xml->leaf = true;
		xml->text_size = 0;
		snprintf(xml->type, sizeof(xml->type), "%s", type);
	}
}

static struct json_object *vm_xml_value(struct vm_xml *xml)
{
	char *end;
	long long number;

	xml->text[xml->text_size] = '\0';
	if (strcmp(xml->type, "bool") == 0)
		return json_object_new_boolean(strcasecmp(xml->text, "true") == 0);
	if (strcmp(xml->type, "integer") == 0) {
		errno = 0;
		number = strtoll(xml->text, &end, 10);
		if (errno == 0 && *end == '\0' && end != xml->text)
			return json_object_new_int64(number);
	}
	return json_object_new_string(xml->text);
}

static void vm_xml_end(void *data, const char *name)
{
	struct vm_xml *xml = data;

	if (xml->result < 0)
		return; /* the end of an element at whose beginning the parser was stopped */
	if (xml->leaf)
		vm_xml_add(xml, name, vm_xml_value(xml));
	else
		xml->depth--;
	xml->leaf = false;
}

static void vm_xml_characters(void *data, const char *text, int size)
{
	struct vm_xml *xml = data;

	if (!xml->leaf)
		return; /* white space between keys */
	if ((size_t)size >= IMPORT_TEXT_MAX - xml->text_size) {
		vm_xml_stop(xml, import_refuse(xml->error, "a value is longer than %u bytes",
					       IMPORT_TEXT_MAX));
		return;
	}
	memcpy(xml->text + xml->text_size, text, (size_t)size);
	xml->text_size += (size_t)size;
}

/* Nothing that Hyper-V writes has one, and entities come with it. */
static void vm_xml_doctype(void *data, const char *name, const char *system, const char *public,
			   int internal)
{
	struct vm_xml *xml = data;

	vm_xml_stop(xml, import_refuse(xml->error, "it has a document type, which none of "
						   "Hyper-V's has"));
}

static int vm_xml_parse(struct vm_xml *xml, const char *text, size_t size)
{
	enum XML_Status status;

	XML_SetUserData(xml->parser, xml);
	XML_SetElementHandler(xml->parser, vm_xml_begin, vm_xml_end);
	XML_SetCharacterDataHandler(xml->parser, vm_xml_characters);
	XML_SetStartDoctypeDeclHandler(xml->parser, vm_xml_doctype);
	status = XML_Parse(xml->parser, text, (int)size, true);
	if (xml->result < 0)
		return xml->result;
	if (status != XML_STATUS_OK)
		return import_refuse(xml->error, "line %lu is no XML: %s",
				     XML_GetCurrentLineNumber(xml->parser),
				     XML_ErrorString(XML_GetErrorCode(xml->parser)));
	return 0;
}

int vm_xml_read(const char *text, size_t size, struct json_object **ret_tree,
		struct import_error *ret_error)
{
	struct vm_xml xml = { .parser = XML_ParserCreate(NULL),
			      .error = ret_error,
			      .root = json_object_new_object(),
			      .text = malloc(IMPORT_TEXT_MAX) };
	int r = -ENOMEM;

	if (xml.parser && xml.root && xml.text)
		r = vm_xml_parse(&xml, text, size);
	if (r == 0)
		*ret_tree = TAKE_PTR(xml.root);
	json_object_put(xml.root);
	if (xml.parser)
		XML_ParserFree(xml.parser);
	free(xml.text);
	return r;
}
