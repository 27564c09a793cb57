/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of a carbon intensity on made-up machines: every way to choose, and every way in which a machine does not
 * say where it stands. Nothing is read from the machine that runs the test. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/unit_test.h"
#include "intensity/intensity.h"
#include "intensity/near.h"
#include "intensity/timezone.h"

static const char zone1970_text[] = "# a comment\n"
                                    "#\tEurope/Nowhere\t\n"
                                    "FR,MC\t+4852+00220\tEurope/Paris\n"
                                    "\n"
                                    "BE,LU,NL\t+5050+00420\tEurope/Brussels\n"
                                    "US\t+404251-0740023\tAmerica/New_York\tEastern (most areas)\n"
                                    "fr\t+0000\tBroken/Lower\n"
                                    "F\t+0000\tBroken/Short\n"
                                    "FRA\t+0000\tBroken/Three\n"
                                    "FR\t+0000\n"
                                    "AQ\t-6617+11031\tAntarctica/Casey\tCasey\n"
                                    "GB\t+513030-0000731\tEurope/London";
static const char zone_text[] = "FR\t+4852+00220\tEurope/Paris\n"
                                "NL\t+5222+00454\tEurope/Amsterdam\r\n"
                                "MC\t+4342+00723\tEurope/Monaco\n";

/* A root directory of our own with etc and usr/share/zoneinfo. */
struct machine {
    char path[64];
    struct carnot_env env;
};

static void machine_path(const struct machine *m, const char *below, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%s", m->path, below);
    assert_true(n > 0 && (size_t)n < size);
}

static void machine_dir(const struct machine *m, const char *below)
{
    char path[256];

    machine_path(m, below, path, sizeof(path));
    assert_int_equal(mkdir(path, 0755), 0);
}

static void machine_file(const struct machine *m, const char *below, const char *text)
{
    char path[256];

    machine_path(m, below, path, sizeof(path));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void machine_link(const struct machine *m, const char *below, const char *target)
{
    char path[256];

    machine_path(m, below, path, sizeof(path));
    assert_int_equal(symlink(target, path), 0);
}

static int setup(void **state)
{
    struct machine *m = calloc(1, sizeof(*m));

    assert_non_null(m);
    snprintf(m->path, sizeof(m->path), "/tmp/carnot-intensity-XXXXXX");
    assert_non_null(mkdtemp(m->path));
    machine_dir(m, "etc");
    machine_dir(m, "usr");
    machine_dir(m, "usr/share");
    machine_dir(m, "usr/share/zoneinfo");
    m->env = (struct carnot_env){.proc.fd = -1, .sys.fd = -1, .cgroup.fd = -1, .clock = carnot_clock_system()};
    assert_int_equal(fsroot_open(m->path, &m->env.root, NULL), 0);
    *state = m;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int teardown(void **state)
{
    struct machine *m = *state;

    fsroot_close(&m->env.root);
    int r = nftw(m->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(m);
    return r;
}

static void add_tables(const struct machine *m)
{
    machine_file(m, "usr/share/zoneinfo/zone1970.tab", zone1970_text);
    machine_file(m, "usr/share/zoneinfo/zone.tab", zone_text);
}

static void assert_chosen(const struct machine *m, const char *zone, const char *chosen_by, enum quality quality)
{
    struct intensity chosen;

    assert_int_equal(intensity_choose(&m->env, 0, "", "carnotd.yaml", &chosen, NULL), 0);
    assert_string_equal(chosen.zone, zone);
    assert_string_equal(chosen.chosen_by, chosen_by);
    assert_int_equal(chosen.quality, quality);
    assert_int_equal(chosen.mg_kwh, intensity_static_find(zone)->mg_kwh);
    assert_non_null(strstr(chosen.source, "Ember via Our World in Data, 20"));
}

static void test_table_is_sound(void **state)
{
    assert_true(intensity_static_count > 200);
    for (size_t i = 0; i < intensity_static_count; i++) {
        const struct intensity_row *row = &intensity_static_table[i];

        assert_int_equal(strlen(row->iso3), 3);
        assert_int_equal(strlen(row->iso2), strcmp(row->iso3, "WLD") == 0 ? 0 : 2);
        assert_true(row->name[0] != '\0');
        assert_in_range(row->year, 2000, 2100);
        assert_in_range(row->mg_kwh, 1000, 3000000);
        assert_ptr_equal(intensity_static_find(row->iso3), row);
        if (row->iso2[0])
            assert_ptr_equal(intensity_static_find(row->iso2), row);
        if (i > 0)
            assert_true(strcmp(intensity_static_table[i - 1].iso3, row->iso3) < 0);
    }
    assert_non_null(strstr(intensity_static_source, "Ember"));
    assert_non_null(strstr(intensity_static_source, "CC BY 4.0"));
}

/* Figures as published, to catch a table made with a wrong unit or column. */
static void test_table_values(void **state)
{
    const struct intensity_row *world = intensity_static_find("WLD"), *france = intensity_static_find("FRA");

    assert_int_equal(world->year, 2024);
    assert_int_equal(world->mg_kwh, 473007); /* 473.0065 g */
    assert_string_equal(world->name, "World");
    assert_string_equal(france->iso2, "FR");
    assert_string_equal(france->name, "France");
    assert_in_range(france->mg_kwh, 20000, 80000);
    assert_in_range(intensity_static_find("POL")->mg_kwh, 500000, 800000);
}

static void test_find(void **state)
{
    const struct intensity_row *france = intensity_static_find("FRA");

    assert_non_null(france);
    assert_ptr_equal(intensity_static_find("fr"), france);
    assert_ptr_equal(intensity_static_find("Fra"), france);
    assert_ptr_equal(intensity_static_find("world"), intensity_static_find("WLD"));
    assert_ptr_equal(intensity_static_find("WORLD"), intensity_static_find("wld"));
    assert_null(intensity_static_find(NULL));
    assert_null(intensity_static_find("")); /* the world has no two letters */
    assert_null(intensity_static_find("F"));
    assert_null(intensity_static_find("ZZ"));
    assert_null(intensity_static_find("ZZZ"));
    assert_null(intensity_static_find("France"));
}

static void test_by_hand(void **state)
{
    struct machine *m = *state;
    struct intensity chosen;

    /* before everything else */
    assert_int_equal(intensity_choose(&m->env, 56.0404, "DEU", "--intensity.g-per-kwh", &chosen, NULL), 0);
    assert_int_equal(chosen.mg_kwh, 56040);
    assert_string_equal(chosen.zone, "");
    assert_string_equal(chosen.source, "given by --intensity.g-per-kwh");
    assert_string_equal(chosen.chosen_by, "--intensity.g-per-kwh");
    assert_int_equal(chosen.quality, QUALITY_DERIVED);

    assert_int_equal(intensity_choose(&m->env, 0.0005, NULL, NULL, &chosen, NULL), 0);
    assert_int_equal(chosen.mg_kwh, 1);
    assert_int_equal(intensity_choose(&m->env, 5000, NULL, NULL, &chosen, NULL), 0);
    assert_int_equal(chosen.mg_kwh, 5000000);
}

static void test_by_hand_wrong(void **state)
{
    struct machine *m = *state;
    const double wrong[] = {-1, 5000.1, 56040, NAN, INFINITY, -INFINITY};
    struct intensity chosen = {.mg_kwh = 77};

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        struct carnot_err err = CARNOT_ERR_INIT;

        assert_int_equal(intensity_choose(&m->env, wrong[i], NULL, "carnotd.yaml:3", &chosen, &err), -EINVAL);
        assert_int_equal(err.code, EINVAL);
        assert_int_equal(strncmp(err.msg, "carnotd.yaml:3: ", 16), 0);
        assert_non_null(strstr(err.msg, "grams"));
        assert_int_equal(chosen.mg_kwh, 77);
    }
}

/* A long name of where it came from is cut, not overflowed. */
static void test_long_chosen_how(void **state)
{
    struct machine *m = *state;
    char how[400];
    struct intensity chosen;

    memset(how, 'x', sizeof(how) - 1);
    how[sizeof(how) - 1] = '\0';
    assert_int_equal(intensity_choose(&m->env, 1, NULL, how, &chosen, NULL), 0);
    assert_int_equal(strlen(chosen.chosen_by), sizeof(chosen.chosen_by) - 1);
    assert_true(strlen(chosen.source) < sizeof(chosen.source));
    assert_int_equal(intensity_choose(&m->env, 0, "FR", how, &chosen, NULL), 0);
    assert_int_equal(strlen(chosen.chosen_by), sizeof(chosen.chosen_by) - 1);
}

static void test_by_zone(void **state)
{
    struct machine *m = *state;
    struct intensity chosen;

    machine_file(m, "etc/timezone", "Europe/Paris\n"); /* not looked at */
    add_tables(m);
    assert_int_equal(intensity_choose(&m->env, 0, "de", "--intensity.zone", &chosen, NULL), 0);
    assert_string_equal(chosen.zone, "DEU");
    assert_string_equal(chosen.chosen_by, "--intensity.zone");
    assert_int_equal(chosen.quality, QUALITY_DERIVED);

    /* the world average is an average, also when asked for */
    assert_int_equal(intensity_choose(&m->env, 0, "World", NULL, &chosen, NULL), 0);
    assert_string_equal(chosen.zone, "WLD");
    assert_string_equal(chosen.source, "Ember via Our World in Data, 2024");
    assert_int_equal(chosen.quality, QUALITY_DEFAULT);
}

static void test_unknown_zone_proposes(void **state)
{
    static const struct {
        const char *zone, *hint;
    } cases[] = {
        {"UK", "Did you mean GBR (United Kingdom)?"},
        {"germany", "Did you mean DEU (Germany)?"},
        {"Germny", "DEU (Germany)"},
        {"FR-IDF", "Did you mean FRA (France)?"},
        {"US-CAL-CISO", "Did you mean USA (United States)?"},
        {"FAR", "FRA (France)"}, /* letters swapped */
        {"ivoire", "CIV (Cote d'Ivoire)"},
        {"switz", "CHE (Switzerland)"},
        {"zz", "\"zz\". Give a country"},
        {"a zone that is much too long to be anything at all", "ISO 3166"},
        {"12345678901234567890123456789012345678901234567890", "ISO 3166"},
    };
    struct machine *m = *state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct intensity chosen = {.mg_kwh = 77};
        struct carnot_err err = CARNOT_ERR_INIT;

        assert_int_equal(intensity_choose(&m->env, 0, cases[i].zone, "carnotd.yaml:7", &chosen, &err), -EINVAL);
        assert_int_equal(err.code, EINVAL);
        assert_int_equal(strncmp(err.msg, "carnotd.yaml:7: ", 16), 0);
        if (!strstr(err.msg, cases[i].hint))
            fail_msg("%s: no \"%s\" in: %s", cases[i].zone, cases[i].hint, err.msg);
        assert_int_equal(chosen.mg_kwh, 77);
    }
    assert_int_equal(intensity_choose(&m->env, 0, "UK", "x", &(struct intensity){0}, NULL), -EINVAL);
}

static void test_near_is_short(void **state)
{
    const struct intensity_row *near[NEAR_MAX];

    assert_int_equal(intensity_near("united", near), NEAR_MAX);
    assert_int_equal(intensity_near("", near), 0);
    assert_int_equal(intensity_near("qqqqqqqq", near), 0);
}

static void test_timezone_file(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    machine_file(m, "etc/timezone", "# written by hand\n\n  Europe/Paris \nEurope/London\n");
    machine_link(m, "etc/localtime", "/usr/share/zoneinfo/Europe/London"); /* comes second */
    assert_chosen(m, "FRA", "time zone Europe/Paris", QUALITY_DERIVED);
}

static void test_localtime_link(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    machine_link(m, "etc/localtime", "../usr/share/zoneinfo/America/New_York");
    assert_chosen(m, "USA", "time zone America/New_York", QUALITY_DERIVED);
}

/* An empty or absurd /etc/timezone does not stand in the way of the link. */
static void test_bad_timezone_file(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    machine_file(m, "etc/timezone", "../../etc/passwd\n");
    machine_link(m, "etc/localtime", "/usr/share/zoneinfo/right/Europe/London");
    assert_chosen(m, "GBR", "time zone Europe/London", QUALITY_DERIVED);
}

static void test_second_table(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    machine_file(m, "etc/timezone", "Europe/Amsterdam\n");
    assert_chosen(m, "NLD", "time zone Europe/Amsterdam", QUALITY_DERIVED);
}

static void test_only_second_table(void **state)
{
    struct machine *m = *state;

    machine_file(m, "usr/share/zoneinfo/zone.tab", zone_text);
    machine_file(m, "etc/timezone", "Europe/Paris\n");
    assert_chosen(m, "FRA", "time zone Europe/Paris", QUALITY_DERIVED);
}

static void test_old_name(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    machine_dir(m, "usr/share/zoneinfo/US");
    machine_link(m, "usr/share/zoneinfo/US/Eastern", "../America/New_York");
    machine_file(m, "etc/timezone", "US/Eastern\n");
    assert_chosen(m, "USA", "time zone US/Eastern", QUALITY_DERIVED);
}

static void test_no_country(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    machine_file(m, "etc/timezone", "Etc/UTC\n");
    assert_chosen(m, "WLD", "time zone Etc/UTC has no country: world average", QUALITY_DEFAULT);
}

static void test_no_tables(void **state)
{
    struct machine *m = *state;

    machine_file(m, "etc/timezone", "Europe/Paris\n");
    assert_chosen(m, "WLD", "time zone Europe/Paris has no country: world average", QUALITY_DEFAULT);
}

static void test_country_without_figure(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    machine_file(m, "etc/timezone", "Europe/Monaco\n");
    assert_chosen(m, "WLD", "time zone Europe/Monaco, no figure for MC: world average", QUALITY_DEFAULT);
}

static void test_no_timezone(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    assert_chosen(m, "WLD", "no time zone found: world average", QUALITY_DEFAULT);
    machine_file(m, "etc/localtime", "TZif2"); /* a copy, no link */
    assert_chosen(m, "WLD", "no time zone found: world average", QUALITY_DEFAULT);
}

static void test_no_root(void **state)
{
    struct machine m = {.env.root = {.fd = -1}};
    struct intensity chosen;

    assert_chosen(&m, "WLD", "no time zone found: world average", QUALITY_DEFAULT);
    assert_int_equal(intensity_choose(NULL, 0, NULL, NULL, &chosen, NULL), 0);
    assert_string_equal(chosen.zone, "WLD");
}

/* TZ is a wish of a user, not a place. */
static void test_tz_variable_is_not_read(void **state)
{
    struct machine *m = *state;

    add_tables(m);
    assert_int_equal(setenv("TZ", "Europe/London", 1), 0); /* NOLINT(concurrency-mt-unsafe): one thread */
    assert_chosen(m, "WLD", "no time zone found: world average", QUALITY_DEFAULT);
    assert_int_equal(unsetenv("TZ"), 0); /* NOLINT(concurrency-mt-unsafe) */
}

static int country(const char *tz_name, char iso2[3])
{
    return intensity_country_of_timezone(zone1970_text, sizeof(zone1970_text) - 1, tz_name, iso2);
}

static void test_country_of_timezone(void **state)
{
    char iso2[3] = "??";

    assert_int_equal(country("Europe/Paris", iso2), 0);
    assert_string_equal(iso2, "FR");
    assert_int_equal(country("Europe/Brussels", iso2), 0);
    assert_string_equal(iso2, "BE");
    assert_int_equal(country("America/New_York", iso2), 0);
    assert_string_equal(iso2, "US");
    assert_int_equal(country("Europe/London", iso2), 0); /* last line, no newline */
    assert_string_equal(iso2, "GB");
}

static void test_country_of_timezone_not_found(void **state)
{
    static const char *const names[] = {"Europe/Nowhere", "Europe/Pari",  "Europe/Pariss", "",
                                        "Broken/Lower",   "Broken/Short", "Broken/Three",  "Eastern (most areas)"};
    char iso2[3] = "??";

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        assert_int_equal(country(names[i], iso2), -ENOENT);
    assert_int_equal(intensity_country_of_timezone(NULL, 0, "Europe/Paris", iso2), -ENOENT);
    assert_string_equal(iso2, "??");
}

static void test_timezone_names(void **state)
{
    static const struct {
        const char *text;
        int result;
        const char *name;
    } texts[] = {
        {"Europe/Paris", 0, "Europe/Paris"},
        {"Etc/GMT+12\n", 0, "Etc/GMT+12"},
        {"America/Port-au-Prince\r\n", 0, "America/Port-au-Prince"},
        {"", -ENODATA, NULL},
        {"\n# only a comment\n", -ENODATA, NULL},
        {"/etc/passwd", -EINVAL, NULL},
        {"Europe/", -EINVAL, NULL},
        {"Europe/../../x", -EINVAL, NULL},
        {"two words", -EINVAL, NULL},
        {"CET-1CEST,M3.5.0,M10.5.0/3", -EINVAL, NULL}, /* a POSIX rule names no place */
        {"a/name/with/fifty/characters/is/longer/than/any/zone", -EINVAL, NULL},
    };
    char name[TIMEZONE_NAME_MAX];

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        assert_int_equal(timezone_of_text(text_of(texts[i].text), name), texts[i].result);
        if (texts[i].name)
            assert_string_equal(name, texts[i].name);
    }
}

static void test_timezone_links(void **state)
{
    char name[TIMEZONE_NAME_MAX];

    assert_int_equal(timezone_of_link(text_of("/usr/share/zoneinfo/Asia/Tokyo"), name), 0);
    assert_string_equal(name, "Asia/Tokyo");
    assert_int_equal(timezone_of_link(text_of("../usr/share/zoneinfo/posix/Asia/Tokyo"), name), 0);
    assert_string_equal(name, "Asia/Tokyo");
    assert_int_equal(timezone_of_link(text_of("/usr/share/zoneinfo/"), name), -EINVAL);
    assert_int_equal(timezone_of_link(text_of("/etc/some-file"), name), -EINVAL);
    assert_int_equal(timezone_of_link(text_of(""), name), -EINVAL);

    assert_int_equal(timezone_of_alias("US/Pacific", text_of("../America/Los_Angeles"), name), 0);
    assert_string_equal(name, "America/Los_Angeles");
    assert_int_equal(timezone_of_alias("Europe/Kiev", text_of("Kyiv"), name), 0);
    assert_string_equal(name, "Europe/Kyiv");
    assert_int_equal(timezone_of_alias("America/Indiana/Knox", text_of("../Chicago"), name), 0);
    assert_string_equal(name, "America/Chicago");
    assert_int_equal(timezone_of_alias("Japan", text_of("Asia/Tokyo"), name), 0);
    assert_string_equal(name, "Asia/Tokyo");
    assert_int_equal(timezone_of_alias("Japan", text_of("/usr/share/zoneinfo/Asia/Tokyo"), name), 0);
    assert_string_equal(name, "Asia/Tokyo");
    assert_int_equal(timezone_of_alias("Japan", text_of("../Asia/Tokyo"), name), -EINVAL);
    assert_int_equal(timezone_of_alias("US/Pacific", text_of("../../etc/passwd"), name), -EINVAL);
    assert_int_equal(timezone_of_alias("Japan", text_of(""), name), -EINVAL);
    assert_int_equal(timezone_of_alias("US/Pacific", text_of("a/name/with/fifty/characters/is/too/long/here"), name),
                     -EINVAL);
}

#define machine_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_sound),
        cmocka_unit_test(test_table_values),
        cmocka_unit_test(test_find),
        machine_test(test_by_hand),
        machine_test(test_by_hand_wrong),
        machine_test(test_long_chosen_how),
        machine_test(test_by_zone),
        machine_test(test_unknown_zone_proposes),
        cmocka_unit_test(test_near_is_short),
        machine_test(test_timezone_file),
        machine_test(test_localtime_link),
        machine_test(test_bad_timezone_file),
        machine_test(test_second_table),
        machine_test(test_only_second_table),
        machine_test(test_old_name),
        machine_test(test_no_country),
        machine_test(test_no_tables),
        machine_test(test_country_without_figure),
        machine_test(test_no_timezone),
        cmocka_unit_test(test_no_root),
        machine_test(test_tz_variable_is_not_read),
        cmocka_unit_test(test_country_of_timezone),
        cmocka_unit_test(test_country_of_timezone_not_found),
        cmocka_unit_test(test_timezone_names),
        cmocka_unit_test(test_timezone_links),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
