/* SPDX-License-Identifier: Apache-2.0 */
/* How the BMC is reached: options, the configuration file of a CEEMS exporter, variables of the environment, and who
 * may read a password. */
#include "scratch.h"

#include <stdio.h>

#include "sources/redfish_config.h"

static struct scratch s;
static struct redfish_settings settings;
static struct redfish_config config;
static struct carnot_err err;

static int setup(void **state)
{
    scratch_init(&s);
    settings = (struct redfish_settings){.session = true, .timeout_ns = 5 * NS_PER_SEC, .interval_ns = NS_PER_SEC};
    config = (struct redfish_config){0};
    err = CARNOT_ERR_INIT;
    unsetenv("REDFISH_WEB_USERNAME");
    unsetenv("REDFISH_WEB_PASSWORD");
    return 0;
}

static int teardown(void **state)
{
    redfish_config_done(&config);
    scratch_done(&s);
    return 0;
}

static int at_7(const struct carnot_env *env, unsigned device, char *ret, size_t size, struct carnot_err *e)
{
    assert_int_equal(device, 0);
    snprintf(ret, size, "192.0.2.7");
    return 0;
}

static int at_v6(const struct carnot_env *env, unsigned device, char *ret, size_t size, struct carnot_err *e)
{
    snprintf(ret, size, "2001:db8::7");
    return 0;
}

static int nowhere(const struct carnot_env *env, unsigned device, char *ret, size_t size, struct carnot_err *e)
{
    return carnot_err_set(e, ENODEV, "no IPMI here");
}

static int load(redfish_address_fn find)
{
    redfish_config_done(&config);
    err = CARNOT_ERR_INIT;
    return redfish_config_load(&settings, &s.env, find, &config, &err);
}

static const char *put(const char *file, const char *text, mode_t mode)
{
    scratch_write(&s, file, text);
    assert_int_equal(chmod(scratch_path(&s, file), mode), 0);
    return scratch_path(&s, file);
}

static void assert_says(const char *word)
{
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
}

static void load_file(const char *text, int result, const char *word)
{
    settings.config_file = put("ceems.yml", text, 0600);
    int r = load(at_7);
    if (r != result)
        fail_msg("%d and \"%s\" for %s", r, err.msg, text);
    if (word)
        assert_says(word);
}

static void nothing_set(void **state)
{
    assert_int_equal(load(at_7), -ENODEV);
    assert_says("--redfish.url");
    settings.url = settings.user = settings.config_file = "";
    assert_int_equal(load(at_7), -ENODEV);
    settings.user = "reader";
    assert_int_equal(load(at_7), -ENODEV);
}

static void by_options(void **state)
{
    static const struct {
        const char *url, *base;
    } urls[] = {
        {"https://bmc-7", "https://bmc-7"},
        {"https://bmc-7/", "https://bmc-7"},
        {"https://bmc-7:8443/redfish/v1", "https://bmc-7:8443"},
        {"https://bmc-7/redfish/v1/", "https://bmc-7"},
        {"https://bmc-7/redfish", "https://bmc-7"},
        {"https://gate/bmc-7/redfish/v1/", "https://gate/bmc-7"},
        {"http://[2001:db8::7]", "http://[2001:db8::7]"},
    };

    for (size_t i = 0; i < ELEMENTSOF(urls); i++) {
        settings.url = urls[i].url;
        assert_int_equal(load(nowhere), 0);
        assert_string_equal(config.base, urls[i].base);
        assert_null(config.user);
        assert_null(config.target);
        assert_false(config.session); /* nobody logs in */
        assert_false(config.insecure);
    }
    static const struct {
        const char *url, *word;
    } bad[] = {
        {"bmc-7", "no URL"},
        {"ftp://bmc-7", "only http: and https:"},
        {"https://admin:geheim@bmc-7", "take them out"},
        {"https://bmc-7/?a=b", "no \"?\""},
        {"https://bmc-7/#a", "no \"?\""},
    };
    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        settings.url = bad[i].url;
        assert_int_equal(load(nowhere), -EINVAL);
        assert_says(bad[i].word);
        assert_says("redfish.url");
        assert_null(strstr(err.msg, "geheim"));
    }

    settings.url = "https://bmc-7";
    settings.user = "reader";
    assert_int_equal(load(nowhere), -EINVAL);
    assert_says("password-file");
    settings.password_file = put("password", "geheim\n", 0600);
    assert_int_equal(load(nowhere), 0);
    assert_string_equal(config.user, "reader");
    assert_string_equal(config.password, "geheim");
    assert_true(config.session);
    settings.session = false;
    settings.insecure = true;
    settings.ca_file = "/a";
    settings.proxy = "http://p:1";
    assert_int_equal(load(nowhere), 0);
    assert_false(config.session);
    assert_true(config.insecure);
    assert_string_equal(config.ca_file, "/a");
    assert_string_equal(config.proxy, "http://p:1");
    settings.user = NULL;
    assert_int_equal(load(nowhere), -EINVAL);
    assert_says("no user");
}

static void address_by_ipmi(void **state)
{
    settings.url = "auto";
    assert_int_equal(load(at_7), 0);
    assert_string_equal(config.base, "https://192.0.2.7");
    assert_int_equal(load(at_v6), 0);
    assert_string_equal(config.base, "https://[2001:db8::7]");
    assert_int_equal(load(nowhere), -ENODEV);
    assert_says("no IPMI here");
    assert_int_equal(load(NULL), 0);
    assert_string_equal(config.base, "");
    settings.url = NULL;
    load_file("redfish_collector:\n  protocol: http\n  port: 8000\n", 0, NULL);
    assert_string_equal(config.base, "http://192.0.2.7:8000");
}

static void secrets(void **state)
{
    struct arena arena;
    const char *secret = NULL;
    char large[2000];
    static const struct {
        const char *text, *secret;
    } good[] = {{"geheim", "geheim"}, {"geheim\n", "geheim"}, {"geheim\r\n", "geheim"}, {" a b ", " a b "}};
    static const char *const bad[] = {"", "\n", "a\nb\n", "a\n\n"};
    static const mode_t open_to_others[] = {0604, 0602, 0601, 0620, 0666, 0644};
    static const mode_t closed[] = {0600, 0400, 0640, 0440};

    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < ELEMENTSOF(good); i++) {
        assert_int_equal(redfish_read_secret(put("password", good[i].text, 0600), &arena, &secret, &err), 0);
        assert_string_equal(secret, good[i].secret);
    }
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        assert_int_equal(redfish_read_secret(put("password", bad[i], 0600), &arena, &secret, &err), -EINVAL);
    memset(large, 'a', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_int_equal(redfish_read_secret(put("password", large, 0600), &arena, &secret, &err), -EINVAL);
    assert_null(strstr(err.msg, "aaaa"));
    for (size_t i = 0; i < ELEMENTSOF(open_to_others); i++) {
        assert_int_equal(redfish_read_secret(put("password", "geheim\n", open_to_others[i]), &arena, &secret, &err),
                         -EINVAL);
        assert_says("chmod 600");
        assert_null(strstr(err.msg, "geheim"));
    }
    for (size_t i = 0; i < ELEMENTSOF(closed); i++)
        assert_int_equal(redfish_read_secret(put("password", "geheim\n", closed[i]), &arena, &secret, &err), 0);
    assert_int_equal(redfish_read_secret(scratch_path(&s, "absent"), &arena, &secret, &err), -ENOENT);
    assert_int_equal(redfish_read_secret(s.dir, &arena, &secret, &err), -EINVAL);
    assert_int_equal(mkfifo(scratch_path(&s, "fifo"), 0600), 0);
    assert_int_equal(redfish_read_secret(scratch_path(&s, "fifo"), &arena, &secret, &err), -EINVAL);
    if (geteuid() == 0) {
        put("password", "geheim\n", 0600);
        assert_int_equal(chown(scratch_path(&s, "password"), 12345, 0), 0);
        assert_int_equal(redfish_read_secret(scratch_path(&s, "password"), &arena, &secret, &err), -EINVAL);
        assert_says("neither root's nor ours");
    }
    arena_done(&arena);
}

static void by_file(void **state)
{
    load_file(
        "redfish_collector:\n  protocol: https\n  hostname: bmc-7\n  port: 8443\n  username: reader\n"
        "  password: geheim\n  timeout: 1500\n  tls_config:\n    ca_file: /a\n    cert_file: /b\n    key_file: /c\n"
        "  proxy_url: http://p:1\n  follow_redirects: true\n  enable_http2: true\n",
        0, NULL);
    assert_string_equal(config.base, "https://bmc-7:8443");
    assert_string_equal(config.user, "reader");
    assert_string_equal(config.password, "geheim");
    assert_true(config.session);
    assert_false(config.insecure);
    assert_false(config.proxy_from_env);
    assert_int_equal(config.timeout_ns, 1500 * NS_PER_MS);
    assert_int_equal(config.interval_ns, NS_PER_SEC);
    assert_string_equal(config.ca_file, "/a");
    assert_string_equal(config.cert_file, "/b");
    assert_string_equal(config.key_file, "/c");
    assert_string_equal(config.proxy, "http://p:1");

    load_file("redfish_web_config:\n  hostname: bmc-7\n  insecure_skip_verify: true\n  use_session_token: false\n"
              "  username: a\n  password: b\n",
              0, NULL);
    assert_string_equal(config.base, "https://bmc-7");
    assert_true(config.insecure);
    assert_false(config.session);
    assert_int_equal(config.timeout_ns, 5 * NS_PER_SEC);

    load_file("redfish_collector:\n  hostname: 2001:db8::7\n  external_url: https://gate:5000/\n"
              "  tls_config: {insecure_skip_verify: true}\n  proxy_from_environment: true\n",
              0, NULL);
    assert_string_equal(config.base, "https://gate:5000");
    assert_string_equal(config.target, "https://[2001:db8::7]:443");
    assert_true(config.insecure);
    assert_true(config.proxy_from_env);

    char text[512];
    snprintf(text, sizeof(text), "redfish_collector:\n  hostname: b\n  basic_auth: {username: u, password_file: %s}\n",
             put("password", "geheim\n", 0600));
    load_file(text, 0, NULL);
    assert_string_equal(config.user, "u");
    assert_string_equal(config.password, "geheim");
    assert_false(config.session);
}

static void wrong_files(void **state)
{
    static const struct {
        const char *text;
        int result;
        const char *word;
    } cases[] = {
        {"", -EINVAL, "expected one mapping redfish_collector"},
        {"redfish_collector:\n", -EINVAL, "none with a key"},
        {"redfish_collector: {hostname: a}\nredfish_web_config: {hostname: b}\n", -EINVAL, "both"},
        {"redfish_collector:\n  hostnam: a\n", -EINVAL, "ceems.yml:2: unknown option"},
        {"redfish_collector:\n  hostname: a\n  hostname: b\n", -EINVAL, "ceems.yml:3: duplicate key"},
        {"redfish_collector: [a]\n", -EINVAL, "takes no list"},
        {"redfish_collector: {hostname: a\n", -EINVAL, "not valid YAML"},
        {"redfish_collector: {hostname: a, protocol: ftp}", -EINVAL, "expected http or https"},
        {"redfish_collector: {hostname: a, port: b}", -EINVAL, "no URL"},
        {"redfish_collector: {hostname: a, timeout: 10}", -EINVAL, "from 100 to 60000"},
        {"redfish_collector: {hostname: a, timeout: 5s}", -EINVAL, "milliseconds"},
        {"redfish_collector: {hostname: a, use_session_token: maybe, username: u, password: p}", -EINVAL,
         "expected true or false"},
        {"redfish_collector: {hostname: a, external_url: gate}", -EINVAL, "no URL"},
        {"redfish_collector: {hostname: a, username: u}", -EINVAL, "no password"},
    };
    static char large[70000];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        load_file(cases[i].text, cases[i].result, cases[i].word);
    memset(large, '#', sizeof(large) - 1);
    load_file(large, -E2BIG, "65536 bytes");
    settings.config_file = scratch_path(&s, "absent.yml");
    assert_int_equal(load(at_7), -ENOENT);

    /* A password in a file that all can read is none; without one that file is nobody's secret. */
    settings.config_file = put("ceems.yml", "redfish_collector: {hostname: a, username: u, password: geheim}\n", 0644);
    assert_int_equal(load(at_7), -EINVAL);
    assert_says("holds a password");
    assert_null(strstr(err.msg, "geheim"));
    settings.config_file = put("ceems.yml", "redfish_collector: {hostname: a}\n", 0644);
    assert_int_equal(load(at_7), 0);

    static const char *const both[] = {"redfish.url", "redfish.user", "redfish.password-file", "redfish.tls-insecure"};
    for (size_t i = 0; i < ELEMENTSOF(both); i++) {
        settings.url = i == 0 ? "https://a" : NULL;
        settings.user = i == 1 ? "a" : NULL;
        settings.password_file = i == 2 ? "/a" : NULL;
        settings.insecure = i == 3;
        assert_int_equal(load(at_7), -EINVAL);
        assert_says(both[i]);
    }
}

static void placeholders(void **state)
{
    scratch_write(&s, "proc/sys/kernel/hostname", "node7\n");
    load_file("redfish_collector: {hostname: '{hostname}-bmc.cluster'}", 0, NULL);
    assert_string_equal(config.base, "https://node7-bmc.cluster");
    load_file("redfish_collector: {hostname: 'bmc-{hostname}'}", 0, NULL);
    assert_string_equal(config.base, "https://bmc-node7");
    scratch_remove(&s, "proc/sys/kernel/hostname");
    load_file("redfish_collector: {hostname: 'bmc-{hostname}'}", -ENOENT, NULL);
}

static void variables(void **state)
{
    static const char text[] = "redfish_collector:\n  hostname: $TEST_BMC_HOST\n  port: ${TEST_BMC_PORT}\n"
                               "  username: a$$b$TEST_BMC_HOST.c\n  password: ${TEST_BMC_PASSWORD}\n";

    setenv("TEST_BMC_HOST", "bmc-7", 1);
    setenv("TEST_BMC_PORT", "5000", 1);
    setenv("TEST_BMC_PASSWORD", "a: b # 'c\n", 1); /* stays what it is, whatever it would mean in YAML */
    load_file(text, -EINVAL, "no URL");            /* a port "${TEST_BMC_PORT}" */
    settings.expand_env = true;
    load_file(text, 0, NULL);
    assert_string_equal(config.base, "https://bmc-7:5000");
    assert_string_equal(config.user, "a$bbmc-7.c");
    assert_string_equal(config.password, "a: b # 'c\n");
    unsetenv("TEST_BMC_PORT");
    load_file(text, -EINVAL, "TEST_BMC_PORT, which the environment has not");
    load_file("redfish_collector: {hostname: 'a$'}", -EINVAL, "write \"$$\"");
    load_file("redfish_collector: {hostname: 'a$1'}", -EINVAL, "write \"$$\"");
    load_file("redfish_collector: {hostname: 'a${'}", -EINVAL, "write \"$$\"");
    load_file("redfish_collector: {hostname: 'a${B'}", -EINVAL, "write \"$$\"");
    static char large[2100];
    memset(large, 'a', sizeof(large) - 1);
    setenv("TEST_BMC_HOST", large, 1);
    load_file("redfish_collector: {hostname: $TEST_BMC_HOST}", -E2BIG, "too long");

    setenv("REDFISH_WEB_USERNAME", "other", 1);
    setenv("REDFISH_WEB_PASSWORD", "besser", 1);
    load_file("redfish_collector: {hostname: a, username: u, password: p}", 0, NULL);
    assert_string_equal(config.user, "other");
    assert_string_equal(config.password, "besser");
    load_file("redfish_collector: {hostname: a}", 0, NULL);
    assert_string_equal(config.user, "other");
    assert_true(config.session);
    unsetenv("REDFISH_WEB_USERNAME");
    unsetenv("REDFISH_WEB_PASSWORD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_set, setup, teardown),
        cmocka_unit_test_setup_teardown(by_options, setup, teardown),
        cmocka_unit_test_setup_teardown(address_by_ipmi, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets, setup, teardown),
        cmocka_unit_test_setup_teardown(by_file, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_files, setup, teardown),
        cmocka_unit_test_setup_teardown(placeholders, setup, teardown),
        cmocka_unit_test_setup_teardown(variables, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
