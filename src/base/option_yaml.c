/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: walks the events of libyaml and hands scalars to the option table. Knows mappings, sequences
 * and line numbers; refuses aliases, a second document, and to know values. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/option_internal.h"

/* Names have at most four parts; beyond this somebody plays. */
#define YAML_DEPTH_MAX 8

/* A key that was seen, as the full path, to refuse the second one. Only keys of the table get here, so the list stays
 * short. */
struct seen_key {
    struct seen_key *next;
    char *path;
};

struct yaml_reader {
    struct option_set *set;
    const char *file;
    yaml_parser_t parser;
    struct arena scratch; /* seen keys */
    struct seen_key *seen;
    char path[OPTION_NAME_MAX + 1]; /* the keys down to here, with dots between */
    size_t path_len;
    unsigned depth;
    struct carnot_err *err;
};

static void cleanup_event(yaml_event_t *event)
{
    yaml_event_delete(event);
}
#define _cleanup_event_ CLEANUP(cleanup_event)

static unsigned long line_of(const yaml_event_t *event)
{
    return (unsigned long)event->start_mark.line + 1;
}

/* "FILE:LINE", for the sentences of the option table. */
struct place {
    char text[160];
};

static struct place place_of(const struct yaml_reader *reader, const yaml_event_t *event)
{
    struct place place;

    snprintf(place.text, sizeof(place.text), "%.130s:%lu", reader->file, line_of(event));
    return place;
}

#define refuse(reader, event, fmt, ...)                                                                                \
    carnot_err_set((reader)->err, EINVAL, "%.130s:%lu: " fmt, (reader)->file, line_of(event) __VA_OPT__(, ) __VA_ARGS__)

/* The next event, to be deleted by the caller also on failure. */
static int next_event(struct yaml_reader *reader, yaml_event_t *ret_event)
{
    const yaml_parser_t *parser = &reader->parser;

    if (yaml_parser_parse(&reader->parser, ret_event))
        return 0;
    memset(ret_event, 0, sizeof(*ret_event));
    if (parser->error == YAML_MEMORY_ERROR)
        return carnot_err_set(reader->err, ENOMEM, "%s: out of memory while reading it", reader->file);
    return carnot_err_set(reader->err, EINVAL, "%.130s:%lu: not valid YAML: %s", reader->file,
                          (unsigned long)parser->problem_mark.line + 1,
                          parser->problem ? parser->problem : "syntax error");
}

static struct text path_text(const struct yaml_reader *reader)
{
    return (struct text){reader->path, reader->path_len};
}

/* Puts ".KEY" behind the path. */
static int push_key(struct yaml_reader *reader, const yaml_event_t *event)
{
    const char *key = (const char *)event->data.scalar.value;
    size_t n = event->data.scalar.length;
    size_t dot = reader->path_len ? 1 : 0;

    if (n == 0 || memchr(key, '\0', n))
        return refuse(reader, event, "a key is empty or holds a NUL character");
    if (reader->path_len + dot + n > OPTION_NAME_MAX)
        return refuse(reader, event, "unknown option \"%.60s\"; see --help for the list", key);
    if (dot)
        reader->path[reader->path_len++] = '.';
    memcpy(reader->path + reader->path_len, key, n);
    reader->path_len += n;
    reader->path[reader->path_len] = '\0';
    return 0;
}

static void pop_key(struct yaml_reader *reader, size_t len)
{
    reader->path_len = len;
    reader->path[len] = '\0';
}

/* Refuses the second key of a name, also when one of them is written with dots. */
static int check_new_key(struct yaml_reader *reader, const yaml_event_t *event)
{
    for (const struct seen_key *seen = reader->seen; seen; seen = seen->next) {
        if (strcmp(seen->path, reader->path) == 0)
            return refuse(reader, event, "duplicate key \"%s\"; leave one of them", reader->path);
    }

    struct seen_key *seen = arena_alloc(&reader->scratch, sizeof(*seen));
    char *path = seen ? arena_strdup(&reader->scratch, reader->path) : NULL;
    if (!path)
        return carnot_err_set(reader->err, ENOMEM, "%s: out of memory while reading it", reader->file);
    *seen = (struct seen_key){.next = reader->seen, .path = path};
    reader->seen = seen;
    return 0;
}

/* "key:" with nothing behind it, "~" or "null", unquoted. */
static bool is_null(const yaml_event_t *event)
{
    struct text value = {(const char *)event->data.scalar.value, event->data.scalar.length};

    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (value.n == 0 || text_is(value, "~") || text_is(value, "null"));
}

static int apply_scalar(struct yaml_reader *reader, struct option_ref ref, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    struct place place = place_of(reader, event);

    if (is_null(event))
        return refuse(reader, event, "%s has no value; give one or remove the key", reader->path);
    if (memchr(value, '\0', event->data.scalar.length))
        return refuse(reader, event, "the value of %s holds a NUL character", reader->path);
    return option_apply(reader->set, ref, value, place.text, reader->err);
}

/* The items of a list; its SEQUENCE-START has been read. */
static int read_sequence(struct yaml_reader *reader, struct option_ref ref)
{
    option_clear_list(reader->set, ref);
    for (;;) {
        _cleanup_event_ yaml_event_t event;
        int r = next_event(reader, &event);

        if (r < 0)
            return r;
        if (event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (event.type != YAML_SCALAR_EVENT)
            return refuse(reader, &event, "the entries of %s must be plain texts", reader->path);
        r = apply_scalar(reader, ref, &event);
        if (r < 0)
            return r;
    }
}

static int read_mapping(struct yaml_reader *reader);

/* The value of the key that the path ends with. */
static int read_value(struct yaml_reader *reader, const yaml_event_t *event)
{
    struct option_ref ref = option_find(reader->set, path_text(reader));
    bool group = option_is_group(reader->set, path_text(reader));

    switch (event->type) {
    case YAML_SCALAR_EVENT:
        if (ref.option)
            return apply_scalar(reader, ref, event);
        if (is_null(event))
            return 0; /* a group whose keys are all commented out */
        return refuse(reader, event, "%s is a group of options: expected keys below it, got a value", reader->path);
    case YAML_SEQUENCE_START_EVENT:
        if (ref.option && ref.option->type == OPTION_LIST)
            return read_sequence(reader, ref);
        return refuse(reader, event, "%s takes no list", reader->path);
    case YAML_MAPPING_START_EVENT:
        if (group)
            return read_mapping(reader);
        return refuse(reader, event, "%s takes a value: expected no keys below it", reader->path);
    default:
        return refuse(reader, event, "aliases (*name) are not allowed here; repeat the value");
    }
}

/* One key, which has been read, and its value. */
static int read_pair(struct yaml_reader *reader, const yaml_event_t *key)
{
    _cleanup_event_ yaml_event_t value = {0};
    size_t outer_len = reader->path_len;

    if (key->type != YAML_SCALAR_EVENT)
        return refuse(reader, key, "a key must be a plain name");
    int r = push_key(reader, key);
    if (r < 0)
        return r;
    if (!option_find(reader->set, path_text(reader)).option && !option_is_group(reader->set, path_text(reader)))
        return option_unknown(reader->set, path_text(reader), place_of(reader, key).text, reader->err);
    r = check_new_key(reader, key);
    if (r >= 0)
        r = next_event(reader, &value);
    if (r >= 0)
        r = read_value(reader, &value);
    pop_key(reader, outer_len);
    return r;
}

/* The pairs of a mapping; its MAPPING-START has been read. */
static int read_mapping(struct yaml_reader *reader)
{
    if (reader->depth >= YAML_DEPTH_MAX)
        return carnot_err_set(reader->err, EINVAL, "%.130s:%lu: more than %d levels of keys", reader->file,
                              (unsigned long)reader->parser.mark.line + 1, YAML_DEPTH_MAX);

    reader->depth++;
    for (;;) {
        _cleanup_event_ yaml_event_t event;
        int r = next_event(reader, &event);

        if (r >= 0 && event.type == YAML_MAPPING_END_EVENT) {
            reader->depth--;
            return 0;
        }
        if (r >= 0)
            r = read_pair(reader, &event);
        if (r < 0)
            return r;
    }
}

/* What may stand at the top: nothing, or one mapping. */
static int read_document(struct yaml_reader *reader)
{
    _cleanup_event_ yaml_event_t event;
    int r = next_event(reader, &event);

    if (r < 0)
        return r;
    if (event.type == YAML_MAPPING_START_EVENT)
        return read_mapping(reader);
    if (event.type == YAML_SCALAR_EVENT && is_null(&event))
        return 0;
    return refuse(reader, &event, "expected \"key: value\" lines at the top of a configuration");
}

static int read_stream(struct yaml_reader *reader)
{
    for (unsigned n_documents = 0;;) {
        _cleanup_event_ yaml_event_t event;
        int r = next_event(reader, &event);

        if (r < 0)
            return r;
        if (event.type == YAML_STREAM_END_EVENT)
            return 0;
        if (event.type != YAML_DOCUMENT_START_EVENT)
            continue; /* the stream's start, the document's end */
        if (n_documents++)
            return refuse(reader, &event, "a second document (---) is not allowed; put it all into one");
        r = read_document(reader);
        if (r < 0)
            return r;
    }
}

int option_parse_yaml(struct option_set *set, const char *file, const char *text, size_t len, struct carnot_err *err)
{
    struct yaml_reader reader = {.set = set, .file = file, .err = err};

    if (len > OPTION_YAML_MAX)
        return carnot_err_set(err, E2BIG, "%s: larger than the %u bytes allowed for a configuration", file,
                              OPTION_YAML_MAX);
    int r = option_begin_layer(set, err);
    if (r < 0)
        return r;
    if (!yaml_parser_initialize(&reader.parser))
        return carnot_err_set(err, ENOMEM, "%s: out of memory while reading it", file);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
    arena_init(&reader.scratch, OPTION_YAML_MAX);

    r = read_stream(&reader);
    arena_done(&reader.scratch);
    yaml_parser_delete(&reader.parser);
    return r;
}

int option_load_yaml(struct option_set *set, const char *path, struct carnot_err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return carnot_err_errno(err, errno, "cannot open configuration %s", path);

    /* One byte more than allowed, to see that there is more. */
    size_t size = OPTION_YAML_MAX + 1, len = 0;
    _cleanup_free_ char *text = malloc(size);
    if (!text)
        return carnot_err_set(err, ENOMEM, "%s: out of memory while reading it", path);
    while (len < size) {
        ssize_t n = read(fd, text + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return carnot_err_errno(err, errno, "cannot read configuration %s", path);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return option_parse_yaml(set, path, text, len, err);
}
