-- What is asked about, one row each: the columns that jobs/reviews.yml names. Select from a table of yours instead.
SELECT review_id, product, review
FROM VALUES
  (1, 'kettle', 'Boils fast and looks good. I love it.'),
  (2, 'kettle', 'The lid broke after a week, and nobody answers my mails.'),
  (3, 'toaster', 'It toasts. What else is there to say?'),
  (4, 'toaster', 'Burnt my bread every single morning. A disaster!')
  AS reviews (review_id, product, review)
