/* SPDX-License-Identifier: MIT
 *
 * eval_test.c -- metrics against values worked out by hand, SQuAD's normal form of a text against
 * Python's, the choice of an answer, and data that is not what it should be.
 */
#include "folder.h"

#include <cjson/cJSON.h>
#include <math.h>

#include "eval/eval.h"
#include "eval/metrics.h"
#include "eval/sequences.h"
#include "eval/squad_score.h"
#include "model/answer.h"
#include "model/json.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void assert_near(double got, double wanted) {
    if (!(fabs(got - wanted) < 1e-12))
        fail_msg("%.17g is not %.17g", got, wanted);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void labels_are_counted(void **state) {
    (void)state;
    /* 3 true positives, 1 false positive, 2 false negatives, 2 true negatives */
    static const double predicted[] = {1, 1, 1, 1, 0, 0, 0, 0};
    static const double gold[] = {1, 1, 1, 0, 1, 1, 0, 0};
    assert_near(dtr_metric_accuracy(predicted, gold, 8), 5.0 / 8);
    assert_near(dtr_metric_f1(predicted, gold, 8), 6.0 / 9);
    assert_near(dtr_metric_matthews(predicted, gold, 8), (3 * 2 - 1 * 2) / sqrt(4 * 5 * 3 * 4));
    assert_near(dtr_metric_matthews(gold, gold, 8), 1);
    static const double none[8] = {0}, reversed[] = {0, 0, 0, 1, 0, 0, 1, 1};
    assert_near(dtr_metric_matthews(reversed, gold, 8), -1);
    assert_near(dtr_metric_f1(none, gold, 8), 0);
    assert_near(dtr_metric_f1(none, none, 8), 0);
    assert_near(dtr_metric_matthews(none, gold, 8), 0);
    assert_near(dtr_metric_matthews(predicted, none, 8), 0);
}

static void numbers_are_correlated(void **state) {
    (void)state;
    static const double x[] = {1, 2, 3, 4, 5}, y[] = {2, 1, 4, 3, 5};
    static const double cubes[] = {1, 8, 27, 64, 125}, tied[] = {1, 2, 2, 3, 3};
    struct dtr_error error = {0};
    double value = 0;
    assert_near(dtr_metric_pearson(x, y, 5), 0.8);
    assert_near(dtr_metric_pearson(x, cubes, 5), 304 / sqrt(10 * 10390));
    assert_int_equal(dtr_metric_spearman(cubes, x, 5, &value, &error), 0);
    assert_near(value, 1);
    assert_int_equal(dtr_metric_spearman(y, x, 5, &value, &error), 0);
    assert_near(value, 0.8);
    /* ranks 1, 2.5, 2.5, 4.5, 4.5 */
    assert_int_equal(dtr_metric_spearman(tied, x, 5, &value, &error), 0);
    assert_near(value, 9 / sqrt(10 * 9));
    static const double same[] = {7, 7, 7, 7, 7};
    assert_true(isnan(dtr_metric_pearson(same, x, 5)));
    assert_int_equal(dtr_metric_spearman(x, same, 5, &value, &error), 0);
    assert_true(isnan(value));
}

/* --- SQuAD's rules ---------------------------------------------------------------------------- */

static void texts_are_normalized_as_python_does(void **state) {
    (void)state;
    char path[500];
    struct dtr_error error = {0};
    cJSON *object = NULL;
    snprintf(path, sizeof path, "%s/fixtures/eval/normalize.json", getenv("DTR_TESTS"));
    assert_int_equal(dtr_json_read(path, &object, &error), 0);
    const cJSON *cases = cJSON_GetObjectItem(object, "cases"), *pair;
    assert_true(cJSON_GetArraySize(cases) > 20);
    cJSON_ArrayForEach(pair, cases) {
        const char *text = cJSON_GetStringValue(cJSON_GetArrayItem(pair, 0));
        char *normal = dtr_squad_normalize(text);
        assert_non_null(normal);
        assert_string_equal(normal, cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1)));
        free(normal);
    }
    cJSON_Delete(object);
    char *normal = dtr_squad_normalize("a\xff the b");
    assert_string_equal(normal, "\ufffd b");
    free(normal);
}

static void answers_are_compared_by_words(void **state) {
    (void)state;
    static const struct {
        const char *answer, *right;
        double exact, f1;
    } known[] = {
        {"big dog", "big dog", 1, 1},
        {"dog big", "big dog", 0, 1},
        {"dog dog", "dog", 0, 2.0 / 3},
        {"dog dog cat", "dog dog bird bird", 0, 2 * (2.0 / 3) * 0.5 / (2.0 / 3 + 0.5)},
        {"cat", "dog", 0, 0},
        {"", "dog", 0, 0},
        {"", "", 1, 0},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        struct dtr_squad_score score;
        struct dtr_error error = {0};
        assert_int_equal(dtr_squad_compare(known[i].answer, known[i].right, &score, &error), 0);
        assert_near(score.exact, known[i].exact);
        assert_near(score.f1, known[i].f1);
    }
}

/* --- the choice of an answer ------------------------------------------------------------------ */

static bool find(struct dtr_answer_request request, struct dtr_answer *answer) {
    static const float logits[][2] = {{9, 9}, {1, 0}, {4, 2}, {2, 6}, {2, 1}, {0, 6}};
    request.logits = logits[0];
    request.tokens = COUNT(logits);
    request.end = request.end ? request.end : COUNT(logits);
    request.last = request.last ? request.last : request.end;
    request.longest = request.longest ? request.longest : 10;
    request.candidates = request.candidates ? request.candidates : 10;
    return dtr_answer_find(&request, answer);
}

static void assert_found(struct dtr_answer_request request, uint32_t first, uint32_t last) {
    struct dtr_answer answer;
    assert_true(find(request, &answer));
    assert_int_equal(answer.first, first);
    assert_int_equal(answer.last, last);
}

static void answers_are_found(void **state) {
    (void)state;
    struct dtr_answer answer;
    assert_found((struct dtr_answer_request){0}, 0, 0);
    /* of equal ends the first */
    assert_found((struct dtr_answer_request){.first = 1}, 2, 3);
    assert_found((struct dtr_answer_request){.first = 3, .last = 5}, 3, 3);
    assert_found((struct dtr_answer_request){.first = 4}, 4, 5);
    assert_found((struct dtr_answer_request){.first = 1, .end = 3}, 2, 2);
    assert_found((struct dtr_answer_request){.first = 1, .longest = 1}, 3, 3);
    /* the likeliest two of each: 0 and 2, 0 and 3 */
    assert_found((struct dtr_answer_request){.first = 1, .candidates = 2}, 2, 3);
    assert_false(find((struct dtr_answer_request){.first = 3, .candidates = 2}, &answer));
    assert_false(
        find((struct dtr_answer_request){.first = 1, .longest = 1, .candidates = 2}, &answer));
}

/* --- requests --------------------------------------------------------------------------------- */

static void sequences_go_by_length(void **state) {
    (void)state;
    static const uint32_t ids[] = {1, 2, 3, 4, 5, 6};
    struct dtr_sequences sequences = {0};
    struct dtr_error error = {0};
    struct dtr_request request;
    assert_int_equal(dtr_sequences_add(&sequences, ids, 4, 2, &error), 0);
    assert_int_equal(dtr_sequences_add(&sequences, ids + 4, 2, 2, &error), 0);
    assert_int_equal(dtr_sequences_add(&sequences, ids + 1, 3, 3, &error), 0);
    assert_int_equal(dtr_sequences_close(&sequences, 2, &error), 0);
    assert_int_equal(dtr_sequences_requests(&sequences), 2);
    dtr_sequences_request(&sequences, 0, true, &request);
    assert_int_equal(request.sequences, 2);
    static const uint32_t lengths[] = {2, 3}, first[] = {5, 6, 2, 3, 4}, select[] = {0, 2};
    assert_memory_equal(request.lengths, lengths, sizeof lengths);
    assert_memory_equal(request.ids, first, sizeof first);
    assert_memory_equal(request.select, select, sizeof select);
    assert_int_equal(request.selected, 2);
    dtr_sequences_request(&sequences, 1, false, &request);
    static const uint32_t types[] = {0, 0, 1, 1};
    assert_int_equal(request.sequences, 1);
    assert_memory_equal(request.types, types, sizeof types);
    assert_null(request.select);
    dtr_sequences_free(&sequences);
}

/* --- hostile data ----------------------------------------------------------------------------- */

static void assert_refused(struct folder *folder, const char *task, const char *bytes, size_t count,
                           const char *sentence) {
    struct dtr_error error = {0};
    struct dtr_eval *eval = NULL;
    folder_write(folder, "data", bytes, count);
    assert_int_equal(dtr_eval_open(task, folder_file(folder, "data"), &eval, &error), DTR_E_CONFIG);
    if (!strstr(error.text, sentence))
        fail_msg("'%s' is not in '%s'", sentence, error.text);
    assert_null(eval);
}

static void bad_tables_are_refused(void **state) {
    static const struct {
        const char *task, *text, *sentence;
    } cases[] = {
        {"cola", "", "data: holds no example"},
        {"cola", "a\t1\t\n", "data:1: has 3 columns where 4 are due"},
        {"cola", "a\t1\t\tb\na\t2\t\tb", "data:2: '2' must be 0 or 1"},
        {"cola", "\xef\xbb\xbf\n", "data:1: has 1 columns where 4 are due"},
        {"sst2", "\n\n", "data:1: the first line names no column 'sentence'"},
        {"stsb", "sentence1\tsentence2\tscore\na\tb\tnan\n", "data:2: 'nan' must be a number"},
        {"stsb", "sentence1\tsentence2\tscore\na\tb\t1e999\n", "data:2: '1e999' must be a number"},
        {"stsb", "sentence1\tsentence2\tscore\na\tb\t\n", "data:2: '' must be a number"},
        {"mnli", "sentence1\tsentence2\tgold_label\na\tb\t-\n",
         "data:2: '-' must be entailment, neutral or contradiction"},
        {"rte", "sentence1\tsentence2\tlabel\r\na\tb\tEntailment\r\n",
         "data:2: 'Entailment' must be entailment or not_entailment"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(*state, cases[i].task, cases[i].text, strlen(cases[i].text),
                       cases[i].sentence);
    assert_refused(*state, "cola", "a\t1\t\t\0\n", 7, "data:1: this line is not UTF-8 text");
    char wide[100];
    memset(wide, '\t', sizeof wide);
    assert_refused(*state, "cola", wide, sizeof wide, "data:1: has more than 64 columns");
}

static void bad_squad_is_refused(void **state) {
#define QUESTION(more) "{\"data\":[{\"paragraphs\":[{\"context\":\"c\",\"qas\":[{" more "}]}]}]}"
    static const char *const cases[][2] = {
        {"", "is not valid JSON"},
        {"[]", "is not a JSON object"},
        {"{}", "data: has no array 'data', so it is not SQuAD"},
        {"{\"data\":[]}", "data: holds no example"},
        {"{\"data\":[{\"paragraphs\":[]},3]}", "data: article 2: has no array 'paragraphs'"},
        {"{\"data\":[{\"paragraphs\":[{}]}]}",
         "data: article 1, paragraph 1: has no text 'context'"},
        {"{\"data\":[{\"paragraphs\":[{\"context\":\"c\"}]}]}",
         "data: article 1, paragraph 1: has no array 'qas'"},
        {QUESTION(""), "article 1, paragraph 1, question 1: has no text 'id'"},
        {QUESTION("\"id\":\"\""), "has no text 'id'"},
        {QUESTION("\"id\":\"x\",\"question\":5"), "has no text 'question'"},
        {QUESTION("\"id\":\"x\",\"question\":\"q\xff\""), "has no text 'question'"},
        {QUESTION("\"id\":\"x\",\"question\":\"q\",\"answers\":[]"), "has no 'answers'"},
        {QUESTION("\"id\":\"x\",\"question\":\"q\",\"answers\":[{}]"), "an answer has no 'text'"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(*state, "squad", cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

static void predictions_are_checked(void **state) {
    struct folder *folder = *state;
    static const char data[] = "sentence\tlabel\na\t1\nb\t0";
    static const char *const cases[][2] = {
        {"", "the first line must name the columns index and prediction"},
        {"index\tprediction\n1\t0\n", "p:2: the prediction with index 0 is due here"},
        {"index\tprediction\n0\t0\t0\n", "p:2: has 3 columns where 2 are due"},
        {"index\tprediction\n0\tyes\n", "p:2: 'yes' must be 0 or 1"},
        {"index\tprediction\n0\t1\n", "p: has 1 predictions for 2 examples"},
        {"index\tprediction\n0\t1\n1\t1\n2\t1\n", "p:4: there are only 2 examples"},
    };
    char path[sizeof folder->file];
    struct dtr_error error = {0};
    struct dtr_eval *eval;
    folder_write(folder, "data", data, strlen(data));
    snprintf(path, sizeof path, "%s", folder_file(folder, "data"));
    assert_int_equal(dtr_eval_open("sst2", path, &eval, &error), 0);
    assert_int_equal(dtr_eval_examples(eval), 2);
    for (size_t i = 0; i < COUNT(cases); i++) {
        error = (struct dtr_error){0};
        folder_write(folder, "p", cases[i][0], strlen(cases[i][0]));
        assert_int_equal(dtr_eval_read_predictions(eval, folder_file(folder, "p"), &error),
                         DTR_E_CONFIG);
        if (!strstr(error.text, cases[i][1]))
            fail_msg("'%s' is not in '%s'", cases[i][1], error.text);
    }
    dtr_eval_close(eval);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_counted),
        cmocka_unit_test(numbers_are_correlated),
        cmocka_unit_test(texts_are_normalized_as_python_does),
        cmocka_unit_test(answers_are_compared_by_words),
        cmocka_unit_test(answers_are_found),
        cmocka_unit_test(sequences_go_by_length),
        cmocka_unit_test_setup_teardown(bad_tables_are_refused, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(bad_squad_is_refused, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(predictions_are_checked, folder_make, folder_remove),
    };
    return cmocka_run_group_tests_name("eval", tests, NULL, NULL);
}
